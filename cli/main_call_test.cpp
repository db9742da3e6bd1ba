#include "cli/main_call.hpp"

#include <doctest/doctest.h>

#include <thread>

using namespace exeat;
using namespace exeat::cli;

TEST_CASE("the main thread does the work and the caller gets the result") {
  proxy::asio::io_context context(1);
  main_call<int> call(context);
  const auto working = proxy::asio::make_work_guard(context);
  const auto main_thread = std::this_thread::get_id();
  std::optional<int> got;
  std::thread caller([&] {
    for (int i = 0; i < 100; ++i)
      got = call([&, i] { return std::this_thread::get_id() == main_thread ? i : -1; });
    proxy::asio::post(context, [&] { context.stop(); });
  });
  context.run();
  caller.join();
  CHECK(got == 99);
}

TEST_CASE("who waits when the main thread ends gets nothing, at once, and so does who comes later") {
  proxy::asio::io_context context(1);  // nobody runs it: the main thread is busy with its end
  main_call<int> call(context);
  bool worked = false;
  std::optional<int> first = 1;
  std::optional<int> later = 1;
  std::thread caller([&] {
    first = call([&] { return worked = true, 2; });
    later = call([&] { return worked = true, 3; });
  });
  call.end();
  caller.join();
  CHECK_FALSE(first);
  CHECK_FALSE(later);
  CHECK_FALSE(worked);
}
