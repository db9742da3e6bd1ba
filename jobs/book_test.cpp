#include "jobs/book.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "jobs/test_directory.hpp"

namespace exeat::jobs {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

const plan order = parse_plan("setup,agent+mcp,report").value();

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// A state directory, and the book in it.
struct desk {
  explicit desk(plan declared = order) : declared(std::move(declared)) {
    REQUIRE(init_state(at.state()));
    reopen();
  }
  void close() { now.reset(); }
  void reopen() {
    close();
    auto opened = book::open(at.state(), declared);
    REQUIRE(opened);
    now.emplace(std::move(*opened));
  }
  book* operator->() { return &*now; }
  std::string file(std::string_view name) const { return at.state() + "/" + std::string(name); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(at.state()), fs::directory_iterator()));
  }
  bool wholly_sealed() const { return now->implicit()->current() == declared.end(); }

  test_directory at;
  plan declared;
  std::optional<book> now;
};

template <class Result>
enum problem::kind kind_of(const Result& result) {
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().text.empty());
  return result.error().kind;
}

TEST_CASE("A seal holds over a restart, and nothing goes back") {
  desk of;
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->current() == 0);
  CHECK(of->implicit()->id().empty());
  CHECK(of->advance("", "") == 1);
  CHECK(of->advance("", "mcp") == 1);  // where it is
  CHECK(kind_of(of->advance("", "setup")) == problem::kind::refused);
  CHECK(kind_of(of->advance("", "deploy")) == problem::kind::refused);
  CHECK(of->implicit()->current() == 1);
  of.reopen();
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->current() == 1);
  CHECK(of->implicit()->ended() == ending::none);
  CHECK(kind_of(of->advance("", "setup")) == problem::kind::refused);
  CHECK(of->advance("", "report") == 2);
  CHECK(contains(of->advance("", "").error().text, "last step"));
  CHECK(contains(of->advance("", "agent").error().text, "no job goes back"));
  of.reopen();
  CHECK(of->implicit()->current() == 2);
}

TEST_CASE("A step may be left out") {
  desk of;
  CHECK(of->advance("", "report") == 2);
  of.reopen();
  CHECK(of->implicit()->current() == 2);
}

TEST_CASE("The next job is unsealed, also after a restart, and the last one ends") {
  desk of;
  REQUIRE(of->advance("", "agent"));
  const auto last = of->implicit();
  REQUIRE(of->new_job());
  CHECK(of->implicit() != last);
  CHECK(last->current() == order.end());
  CHECK(of->implicit()->current() == 0);
  of.reopen();
  CHECK(of->implicit()->current() == 0);
  CHECK(of->advance("", "agent") == 1);
}

TEST_CASE("A closed or locked down job is sealed until the next one") {
  desk of;
  const bool closed = [&] {
    bool out = false;
    SUBCASE("closed") {
      out = true;
    }
    SUBCASE("locked down") {}
    return out;
  }();
  REQUIRE((closed ? of->close_job("") : of->lock_down("")));
  const auto why = closed ? ending::closed : ending::locked_down;
  for (int i = 0; i < 2; ++i) {
    CHECK(of->implicit()->ended() == why);
    CHECK(of.wholly_sealed());
    CHECK(of->trouble().empty());
    CHECK(kind_of(of->advance("", "report")) == problem::kind::refused);
    of.reopen();
  }
  REQUIRE(of->new_job());
  of.reopen();
  CHECK(of->implicit()->ended() == ending::none);
  CHECK(of->implicit()->current() == 0);
}

TEST_CASE("Without a state directory no seal is promised") {
  auto of = book::in_memory(order);
  REQUIRE(of.implicit());
  CHECK(of.implicit()->current() == 0);
  CHECK(contains(of.advance("", "agent").error().text, "job.state_dir"));
  CHECK(of.implicit()->current() == 0);
  CHECK(kind_of(of.open_job({.plan = order, .time_limit = {}})) == problem::kind::refused);
  CHECK(kind_of(of.close_job("")) == problem::kind::refused);
  CHECK(of.implicit()->current() == 0);
  CHECK(of.keep_policy("", "text"));
  CHECK(of.kept_policy("") == "text");
  // This one cannot wait; but it says that it ends with the process.
  CHECK(kind_of(of.lock_down("")) == problem::kind::failed);
  CHECK(of.implicit()->ended() == ending::locked_down);
  CHECK(of.new_job());
  CHECK(of.implicit()->current() == 0);
  CHECK_FALSE(of.kept_policy(""));
  CHECK(of.expire(system_clock::time_point::max()).empty());
  CHECK_FALSE(of.next_expiry());
  CHECK(of.trouble().empty());
}

TEST_CASE("Without a declared job there is none") {
  auto of = book::in_memory({});
  CHECK(of.implicit() == nullptr);
  CHECK(kind_of(of.advance("", "agent")) == problem::kind::not_found);
  CHECK(kind_of(of.new_job()) == problem::kind::not_found);
  CHECK(kind_of(of.lock_down("")) == problem::kind::not_found);
  CHECK(kind_of(of.close_job("")) == problem::kind::not_found);
  CHECK(kind_of(of.keep_policy("", "x")) == problem::kind::not_found);
  CHECK_FALSE(of.is_advance_secret("", ""));

  desk other{plan{}};
  CHECK(other->implicit() == nullptr);
  CHECK(other->trouble().empty());
  CHECK(other->open_job({.plan = order, .time_limit = {}}));
}

TEST_CASE("A declared plan must be one") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  CHECK_FALSE(book::open(at.state(), {.steps = {{"a"}, {"a"}}}));
  CHECK_FALSE(book::open(at.state(), {.steps = {{"a > b"}}}));
}

TEST_CASE("A second process is refused") {
  desk of;
  const auto other = book::open(of.at.state(), order);
  REQUIRE_FALSE(other);
  CHECK(contains(other.error(), "another process"));
}

TEST_CASE("Explicit jobs: ids, tokens and secrets, of which only hashes stay") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = {}}).value();
  const auto two = of->open_job({.plan = order, .time_limit = {}}).value();
  CHECK(is_job_id(one.id));
  CHECK(one.id != two.id);
  REQUIRE(one.tokens.size() == 4);
  CHECK(one.tokens[2].phase == "mcp");
  CHECK(one.advance_secret.starts_with("exeat_a_"));
  std::set<std::string> texts{one.advance_secret, two.advance_secret};
  for (const auto& token : one.tokens) texts.insert(token.text);
  for (const auto& token : two.tokens) texts.insert(token.text);
  CHECK(texts.size() == 10);
  for (const auto& entry : fs::directory_iterator(of.at.state())) {
    const auto text = text_of(entry.path());
    for (const auto& secret : texts) CHECK_FALSE(contains(text, secret));
  }
  for (int i = 0; i < 2; ++i) {
    const auto jobs = of->open_jobs();
    REQUIRE(jobs.size() == 2);
    const auto& live = jobs[0]->id() == one.id ? jobs[0] : jobs[1];
    CHECK(live->plan() == order);
    REQUIRE(live->tokens().size() == 4);
    CHECK(live->tokens()[1].phase == "agent");
    CHECK(live->tokens()[1].sha256 == sha256_of(one.tokens[1].text));
    CHECK(of->is_advance_secret(one.id, one.advance_secret));
    CHECK_FALSE(of->is_advance_secret(one.id, two.advance_secret));
    CHECK_FALSE(of->is_advance_secret(two.id, one.advance_secret));
    CHECK_FALSE(of->is_advance_secret("", one.advance_secret));
    CHECK_FALSE(of->is_advance_secret(one.id, one.tokens[0].text));
    CHECK_FALSE(of->is_advance_secret(one.id, ""));
    CHECK_FALSE(of->is_advance_secret("j-aaaaaaaaaaaa", one.advance_secret));
    CHECK_FALSE(of->is_advance_secret("j-aaaaaaaaaaaa", ""));
    of.reopen();
  }
}

TEST_CASE("The advance secret of the implicit job") {
  desk of;
  CHECK_FALSE(of->is_advance_secret("", ""));
  of->set_advance_secret("right");
  CHECK(of->is_advance_secret("", "right"));
  CHECK_FALSE(of->is_advance_secret("", "wrong"));
  CHECK_FALSE(of->is_advance_secret("", ""));
  of->set_advance_secret("");
  CHECK_FALSE(of->is_advance_secret("", "right"));
  CHECK_FALSE(of->is_advance_secret("", ""));
}

TEST_CASE("Explicit jobs advance and are closed by themselves") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = {}}).value().id;
  const auto two = of->open_job({.plan = order, .time_limit = {}}).value().id;
  const auto of_id = [&](const std::string& id) {
    const auto jobs = of->open_jobs();
    const auto at = std::ranges::find(jobs, id, [](const auto& job) { return job->id(); });
    return at == jobs.end() ? nullptr : *at;
  };
  CHECK(of->advance(one, "agent") == 1);
  of.reopen();
  CHECK(of_id(one)->current() == 1);
  CHECK(of_id(two)->current() == 0);
  CHECK(of->implicit()->current() == 0);
  const auto held = of_id(one);
  CHECK(of->close_job(one));
  CHECK(held->ended() == ending::closed);
  CHECK(held->current() == order.end());
  CHECK(of_id(one) == nullptr);
  CHECK(kind_of(of->close_job(one)) == problem::kind::not_found);
  CHECK(kind_of(of->advance(one, "")) == problem::kind::not_found);
  CHECK(kind_of(of->lock_down(one)) == problem::kind::not_found);
  CHECK(of->lock_down(two));
  of.reopen();
  CHECK(of_id(one) == nullptr);
  REQUIRE(of_id(two));
  CHECK(of_id(two)->ended() == ending::locked_down);
  CHECK(kind_of(of->advance(two, "agent")) == problem::kind::refused);
  CHECK(of->close_job(two));
  CHECK(of.files() == 2);
  for (const auto* const id : {"job", "exeat-state", "../state/job", "j-", "."}) {
    CAPTURE(id);
    CHECK(kind_of(of->close_job(id)) == problem::kind::not_found);
  }
  CHECK(of.files() == 2);
}

TEST_CASE("What is asked of a new job is checked") {
  desk of;
  CHECK(kind_of(of->open_job({.plan = {}, .time_limit = {}})) == problem::kind::refused);
  CHECK(kind_of(of->open_job({.plan = {.steps = {{"A"}}}, .time_limit = {}})) == problem::kind::refused);
  for (const long long seconds : {0LL, -1LL, 400'000'000LL}) {
    CHECK(kind_of(of->open_job({.plan = order, .time_limit = std::chrono::seconds(seconds)})) ==
          problem::kind::refused);
  }
  CHECK(of->open_job({.plan = order, .time_limit = std::chrono::seconds::max()}).error().kind ==
        problem::kind::refused);
  CHECK(of->open_jobs().empty());
}

TEST_CASE("A job out of time ends, and a clock set back does not bring it back") {
  desk of;
  const auto before = system_clock::now();
  const auto one = of->open_job({.plan = order, .time_limit = std::chrono::hours(1)}).value();
  const auto two = of->open_job({.plan = order, .time_limit = std::chrono::hours(2)}).value();
  const auto three = of->open_job({.plan = order, .time_limit = {}}).value();
  REQUIRE(of->next_expiry());
  CHECK(*of->next_expiry() >= before + std::chrono::hours(1));
  CHECK(*of->next_expiry() <= system_clock::now() + std::chrono::hours(1) + std::chrono::seconds(1));
  of.reopen();
  CHECK(of->expire(before + std::chrono::minutes(59)).empty());
  const auto jobs = of->open_jobs();
  const auto live = *std::ranges::find(jobs, one.id, [](const auto& job) { return job->id(); });
  CHECK(of->expire(*of->next_expiry()) == std::vector{one.id});
  CHECK(live->ended() == ending::expired);
  CHECK(live->current() == order.end());
  CHECK_FALSE(of->is_advance_secret(one.id, one.advance_secret));
  CHECK(of->expire(before).empty());
  CHECK(of->open_jobs().size() == 2);
  of.reopen();  // when by its own limit it would still be open
  CHECK(of->open_jobs().size() == 2);
  CHECK(kind_of(of->advance(one.id, "agent")) == problem::kind::not_found);
  CHECK(of->expire(before + std::chrono::hours(3)) == std::vector{two.id});
  CHECK_FALSE(of->next_expiry());
  CHECK(of->open_jobs().at(0)->id() == three.id);
}

TEST_CASE("A job that ran out of time while nobody looked is not open again") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = std::chrono::hours(1)}).value();
  of.close();
  const auto id = text_of(of.file("exeat-state")).substr(14, 32);
  auto kept = parse_record(text_of(of.file(one.id)), id).value();
  kept.expires = std::chrono::floor<std::chrono::seconds>(system_clock::now()) - std::chrono::seconds(1);
  put_text(of.file(one.id), print_record(kept, id).value());
  of.reopen();
  CHECK(of->open_jobs().empty());
  CHECK_FALSE(fs::exists(of.file(one.id)));
}

TEST_CASE("A policy is kept as long as its job") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = {}}).value().id;
  const std::string text("phases:\n\0\xff", 10);
  CHECK_FALSE(of->kept_policy(""));
  CHECK(of->keep_policy("", text));
  CHECK(of->keep_policy(one, text));
  CHECK(of.files() == 4);  // one file for both
  REQUIRE(of->advance("", "agent"));
  of.reopen();
  CHECK(of->kept_policy("") == text);
  CHECK(of->kept_policy(one) == text);
  CHECK_FALSE(of->kept_policy("j-aaaaaaaaaaaa"));
  CHECK(of->close_job(one));
  CHECK(of->kept_policy("") == text);
  CHECK(of->keep_policy("", "other"));
  CHECK(of->kept_policy("") == "other");
  CHECK(of.files() == 3);
  of.reopen();
  CHECK(of->kept_policy("") == "other");
  CHECK(of->implicit()->current() == 1);
  CHECK(of->new_job());
  CHECK_FALSE(of->kept_policy(""));
  CHECK(of.files() == 2);
  put_text(of.file("policy-" + hex_of(digest{})), "of nobody");
  of.reopen();
  CHECK_FALSE(of->kept_policy(""));
  CHECK(of.files() == 2);
  CHECK(kind_of(of->keep_policy("", std::string(store::largest + 1, 'x'))) == problem::kind::refused);
}

TEST_CASE("An order of phases may change until something is sealed") {
  desk of;
  REQUIRE(of->keep_policy("", "text"));
  of.declared = parse_plan("setup,agent").value();
  of.reopen();
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->plan() == of.declared);
  CHECK(of->kept_policy("") == "text");
  REQUIRE(of->advance("", "agent"));
  of.reopen();
  CHECK(of->implicit()->current() == 1);

  of.declared = parse_plan("agent,setup").value();
  of.reopen();
  CHECK(contains(of->trouble(), "another order of phases (setup > agent)"));
  CHECK(contains(of->trouble(), "exeat job new"));
  CHECK(of.wholly_sealed());
  // Back to the old order: what was sealed was never touched.
  of.declared = parse_plan("setup,agent").value();
  of.reopen();
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->current() == 1);
  CHECK(of->kept_policy("") == "text");

  of.declared = {};
  of.reopen();
  CHECK(of->implicit() == nullptr);
  CHECK(of->trouble().empty());
  of.declared = parse_plan("setup,agent").value();
  of.reopen();
  CHECK(of->implicit()->current() == 1);
  CHECK(of->kept_policy("") == "text");

  of.declared = parse_plan("agent,setup").value();
  of.reopen();
  CHECK(of->new_job());
  CHECK(of->trouble().empty());
  of.reopen();
  CHECK(of->implicit()->current() == 0);
  CHECK(of->implicit()->plan() == of.declared);
}

TEST_CASE("State that is absent or damaged seals everything until the next job") {
  desk of;
  REQUIRE(of->keep_policy("", "text"));
  const auto explicit_job = of->open_job({.plan = order, .time_limit = {}}).value().id;
  of.close();
  const auto file = of.file("job");
  const auto text = text_of(file);
  SUBCASE("absent") {
    fs::remove(file);
  }
  SUBCASE("empty") {
    put_text(file, "");
  }
  SUBCASE("cut short") {
    put_text(file, text.substr(0, text.size() - 2));
  }
  SUBCASE("a bit changed") {
    put_text(file, text.substr(0, 60) + static_cast<char>(text[60] ^ 1) + text.substr(61));
  }
  SUBCASE("of another job") {
    fs::copy_file(of.file(explicit_job), file, fs::copy_options::overwrite_existing);
  }
  SUBCASE("a directory that is in the way") {
    fs::remove(file);
    fs::create_directory(file);
    of.reopen();
    CHECK(of.wholly_sealed());
    CHECK(contains(of->new_job().error().text, "cannot be renamed"));
    CHECK(of.wholly_sealed());
    CHECK_FALSE(of->trouble().empty());
    of.close();
    fs::remove(file);
  }
  SUBCASE("of another state directory") {
    const desk other;
    fs::copy_file(other.file("job"), file, fs::copy_options::overwrite_existing);
  }
  SUBCASE("its policy absent") {
    fs::remove(of.file("policy-" + hex_of(*sha256_of("text"))));
  }
  SUBCASE("its policy damaged") {
    put_text(of.file("policy-" + hex_of(*sha256_of("text"))), "texu");
  }
  SUBCASE("a fifo in its place") {
    fs::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  }
  of.reopen();
  CHECK(of->implicit()->ended() == ending::state_damaged);
  CHECK(of.wholly_sealed());
  CHECK(contains(of->trouble(), "/job cannot be used"));
  CHECK(contains(of->trouble(), "exeat job new"));
  CHECK(kind_of(of->advance("", "report")) == problem::kind::refused);
  CHECK(kind_of(of->keep_policy("", "x")) == problem::kind::refused);
  CHECK_FALSE(of->kept_policy(""));
  CHECK(of->lock_down(""));
  CHECK(of->close_job(""));
  CHECK(of->open_jobs().size() == 1);
  of.reopen();  // and nothing of that has healed it
  CHECK(of->implicit()->ended() == ending::state_damaged);
  REQUIRE(of->new_job());
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->current() == 0);
  of.reopen();
  CHECK(of->trouble().empty());
  CHECK(of->implicit()->current() == 0);
  CHECK(of->open_jobs().size() == 1);
}

TEST_CASE("A damaged explicit job does not exist, and says so until it is closed") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = {}}).value();
  const auto two = of->open_job({.plan = order, .time_limit = {}}).value();
  REQUIRE(of->advance(one.id, "agent"));
  of.close();
  SUBCASE("damaged") {
    put_text(of.file(one.id), text_of(of.file(one.id)) + " ");
  }
  SUBCASE("a copy of another") {
    fs::copy_file(of.file(two.id), of.file(one.id), fs::copy_options::overwrite_existing);
  }
  of.reopen();
  CHECK(of->implicit()->current() == 0);
  CHECK(contains(of->trouble(), one.id));
  REQUIRE(of->open_jobs().size() == 1);
  CHECK(of->open_jobs()[0]->id() == two.id);
  CHECK(kind_of(of->advance(one.id, "")) == problem::kind::not_found);
  CHECK_FALSE(of->is_advance_secret(one.id, one.advance_secret));
  CHECK(of->close_job(one.id));
  CHECK(of->trouble().empty());
  CHECK_FALSE(fs::exists(of.file(one.id)));
}

TEST_CASE("Without a marker everything is sealed, and only `exeat state init` helps") {
  desk of;
  REQUIRE(of->advance("", "agent"));
  const auto one = of->open_job({.plan = order, .time_limit = {}}).value().id;
  of.close();
  SUBCASE("the marker is gone") {
    fs::remove(of.file("exeat-state"));
  }
  SUBCASE("the directory is gone") {
    fs::remove_all(of.at.state());
  }
  SUBCASE("the directory is empty") {
    for (const auto& entry : fs::directory_iterator(of.at.state())) fs::remove(entry);
  }
  of.reopen();
  CHECK(of.wholly_sealed());
  CHECK(of->implicit()->ended() == ending::state_damaged);
  CHECK(contains(of->trouble(), "exeat state init"));
  CHECK(contains(of->new_job().error().text, "exeat state init"));
  CHECK(kind_of(of->new_job()) == problem::kind::refused);
  CHECK(kind_of(of->advance("", "")) == problem::kind::refused);
  CHECK(kind_of(of->open_job({.plan = order, .time_limit = {}})) == problem::kind::refused);
  CHECK(kind_of(of->close_job(one)) == problem::kind::not_found);
  CHECK(of->lock_down(""));
  CHECK(of.wholly_sealed());
  // No restart is needed after it; but the jobs of before are gone.
  REQUIRE(init_state(of.at.state()));
  REQUIRE(of->new_job());
  CHECK(of->implicit()->current() == 0);
  CHECK(of->open_jobs().empty());
  CHECK(of->advance("", "agent") == 1);
  of.reopen();
  CHECK(of->implicit()->current() == 1);
}

TEST_CASE("A directory that others may use seals everything") {
  desk of;
  of.close();
  ::chmod(of.at.state().c_str(), 0750);
  of.reopen();
  CHECK(of.wholly_sealed());
  CHECK(contains(of->trouble(), "chmod 700"));
  CHECK(kind_of(of->new_job()) == problem::kind::refused);
  ::chmod(of.at.state().c_str(), 0700);
  CHECK(of->new_job());
  CHECK(of->trouble().empty());
}

TEST_CASE("What cannot be written is sealed in memory, and said") {
  desk of;
  const auto one = of->open_job({.plan = order, .time_limit = std::chrono::hours(1)}).value();
  REQUIRE(of->keep_policy("", "text"));
  SUBCASE("advance") {
    {
      const full_disk now;
      const auto done = of->advance("", "agent");
      CHECK(kind_of(done) == problem::kind::failed);
      CHECK(contains(done.error().text, "restart"));
      CHECK(of->implicit()->current() == 1);
      // Nor is it taken for done the next time.
      CHECK(kind_of(of->advance("", "agent")) == problem::kind::failed);
      CHECK(kind_of(of->advance("", "")) == problem::kind::failed);
      CHECK_FALSE(of->keep_seals());
      CHECK(of->implicit()->current() == 1);
    }
    SUBCASE("by name") {
      CHECK(of->advance("", "agent") == 1);
    }
    SUBCASE("without one, which means the same seal") {
      CHECK(of->advance("", "") == 1);
    }
    SUBCASE("by itself") {
      CHECK(of->keep_seals());
    }
    of.reopen();
    CHECK(of->implicit()->current() == 1);
  }
  SUBCASE("lock_down") {
    {
      const full_disk now;
      CHECK(kind_of(of->lock_down(one.id)) == problem::kind::failed);
      CHECK(kind_of(of->lock_down("")) == problem::kind::failed);
    }
    CHECK(of.wholly_sealed());
    CHECK(of->open_jobs()[0]->current() == order.end());
    SUBCASE("one of them again") {
      CHECK(of->lock_down(""));
      of.reopen();
      CHECK(of.wholly_sealed());
      CHECK(of->open_jobs()[0]->current() == 0);  // as was said
    }
    SUBCASE("all that is not kept") {
      CHECK(of->keep_seals());
      of.reopen();
      CHECK(of.wholly_sealed());
      CHECK(of->open_jobs()[0]->current() == order.end());
    }
  }
  SUBCASE("new_job") {
    REQUIRE(of->advance("", "agent"));
    {
      const full_disk now;
      CHECK(kind_of(of->new_job()) == problem::kind::failed);
    }
    CHECK(of->implicit()->current() == 1);
    CHECK(of->implicit()->ended() == ending::none);
    CHECK(of->kept_policy("") == "text");
    of.reopen();
    CHECK(of->implicit()->current() == 1);
  }
  SUBCASE("open_job") {
    {
      const full_disk now;
      CHECK(kind_of(of->open_job({.plan = order, .time_limit = {}})) == problem::kind::failed);
    }
    CHECK(of->open_jobs().size() == 1);
    of.reopen();
    CHECK(of->open_jobs().size() == 1);
  }
  SUBCASE("keep_policy") {
    {
      const full_disk now;
      CHECK(kind_of(of->keep_policy("", "other")) == problem::kind::failed);
    }
    CHECK(of->kept_policy("") == "other");
    REQUIRE(of->advance("", "agent"));
    of.reopen();
    CHECK(of->kept_policy("") == "text");  // as was said
    CHECK(of->trouble().empty());
  }
  SUBCASE("the end of an explicit job") {
    const auto live = of->open_jobs()[0];
    const auto marker = text_of(of.file("exeat-state"));
    fs::rename(of.file("exeat-state"), of.file("exeat-state-kept"));
    CHECK(kind_of(of->close_job(one.id)) == problem::kind::failed);
    CHECK(live->current() == order.end());
    CHECK(of->open_jobs().empty());
    CHECK_FALSE(of->is_advance_secret(one.id, one.advance_secret));
    CHECK(kind_of(of->close_job(one.id)) == problem::kind::failed);
    CHECK_FALSE(of->next_expiry());
    fs::rename(of.file("exeat-state-kept"), of.file("exeat-state"));
    CHECK(of->close_job(one.id));
    CHECK_FALSE(fs::exists(of.file(one.id)));
  }
  SUBCASE("the time of an explicit job") {
    const auto live = of->open_jobs()[0];
    const auto late = system_clock::now() + std::chrono::hours(2);
    fs::rename(of.file("exeat-state"), of.file("exeat-state-kept"));
    CHECK(of->expire(late) == std::vector{one.id});
    CHECK(live->ended() == ending::expired);
    CHECK(contains(of->trouble(), one.id));
    CHECK(of->expire(late).empty());
    fs::rename(of.file("exeat-state-kept"), of.file("exeat-state"));
    CHECK(fs::exists(of.file(one.id)));
    CHECK(of->expire(late).empty());  // tries again, whatever the time
    CHECK_FALSE(fs::exists(of.file(one.id)));
    CHECK(of->trouble().empty());
  }
}

}  // namespace
}  // namespace exeat::jobs
