#include "admin/live_feed.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace exeat::admin;

namespace {

void push(live_feed& feed, const std::string& host, bool refused = true, const std::string& phase = "agent") {
  if (feed.wants(refused))
    feed.publish({.refused = refused, .phase = phase, .words = host, .line = "\"" + host + "\""});
}

}  // namespace

TEST_CASE("while nobody watches refusals alone are kept, and only so many") {
  live_feed feed;
  push(feed, "allowed", false);
  for (int i = 0; i < 10'000; ++i) push(feed, "refused");
  const auto text = feed.read({}).text;
  CHECK_FALSE(text.contains("allowed"));
  std::size_t count = 0;
  for (auto at = text.find("refused"); at != text.npos; at = text.find("refused", at + 1)) ++count;
  CHECK(count >= live_feed::unwatched_in_a_second);
  CHECK(count < 1000);
}

TEST_CASE("a watcher sees what fits, once, in order") {
  live_feed feed;
  int rung = 0;
  feed.set_bell([&] { ++rung; });
  feed.begin_watch();
  push(feed, "a.example", false);
  push(feed, "b.example", true, "setup");
  push(feed, "b.example");
  CHECK(rung == 3);
  live_filter filter{.phase = "agent", .words = "b.", .refused_only = true, .after = {}};
  auto batch = feed.read(filter);
  CHECK(batch.text == "id: 3\nevent: decision\ndata: \"b.example\"\n\n");
  filter.after = batch.next;
  CHECK(feed.read(filter).text.empty());
  push(feed, "b.second");
  CHECK(feed.read(filter).text.contains("b.second"));
  feed.end_watch();
}

TEST_CASE("who reads slowly loses the oldest, and is told how many") {
  live_feed feed;
  feed.begin_watch();
  push(feed, "first");
  auto batch = feed.read({});
  for (std::size_t i = 0; i < live_feed::most_items + 7; ++i) push(feed, "x");
  const auto later = feed.read({.phase = {}, .words = {}, .after = batch.next});
  CHECK(later.text.starts_with("event: gap\ndata: {\"missed\":7}\n\n"));
  // And so is who comes again after a time in which nobody watched.
  batch = feed.read({.phase = {}, .words = {}, .after = later.next});
  feed.end_watch();
  for (int i = 0; i < 5; ++i) push(feed, "unseen", false);
  feed.begin_watch();
  push(feed, "seen");
  auto at = later.next;
  std::string all;
  for (auto more = feed.read({.phase = {}, .words = {}, .after = at}); !more.text.empty();
       more = feed.read({.phase = {}, .words = {}, .after = at})) {
    all += more.text;
    at = more.next;
  }
  CHECK(all.contains("{\"missed\":5}"));
}

TEST_CASE("its memory is bounded by octets as well") {
  live_feed feed;
  feed.begin_watch();
  for (std::size_t i = 0; i < 100; ++i) push(feed, std::string(200'000, 'x'));
  std::size_t octets = 0;
  live_filter filter;
  for (auto batch = feed.read(filter); !batch.text.empty(); batch = feed.read(filter)) {
    octets += batch.text.size();
    filter.after = batch.next;
  }
  CHECK(octets > 0);
  CHECK(octets < live_feed::most_octets + 500'000);
}
