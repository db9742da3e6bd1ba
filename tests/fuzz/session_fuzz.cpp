// Any octets as what happens to a proxy: clients, origins, name servers and operators act in the order that
// the input says, against a whole worker. What it may do, session/judge.hpp holds it to; how to read an
// input, stands below.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/session/words.hpp"
#include "tests/fuzz/session/world.hpp"

using namespace exeat::fuzz;
using side = world::side;
using std::chrono::milliseconds;

namespace {

class reader {
 public:
  reader(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}
  bool done() const { return at_ == end_; }
  unsigned octet() { return done() ? 0 : *at_++; }
  std::string_view octets(std::size_t most) {
    const auto size = std::min(most, static_cast<std::size_t>(end_ - at_));
    const std::string_view out(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return out;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

// The codes stand in make_seeds.py, too: append, never insert.
enum class act : std::uint8_t {
  connect,          // listener
  client_word,      // who, which
  client_octets,    // who, how many, octets
  client_much,      // who, how much
  client_fin,       // who
  client_reset,     // who
  client_close,     // who
  client_reading,   // who, whether
  origin_word,      // who, which
  origin_octets,    // who, how many, octets
  origin_much,      // who, how much
  origin_fin,       // who
  origin_reset,     // who
  origin_close,     // who
  origin_reading,   // who, whether
  answering,        // how
  release_answers,  //
  load,             // policy
  seal,             //
  enforce,          // grace
  end_job,          //
  opened_job,       //
  pass,             // how long
  drain,            //
  stop,             //
  cut_out_of_time,  //
  forget_names,     //
  turn,             // how many
  client_tls,       // who, whether with a certificate
  count,
};
// Of the octet of an act: the proxy has no turn behind it, until the next one that lets it.
constexpr unsigned at_once = 0x80;
constexpr unsigned most_acts = 80;

constexpr milliseconds durations[] = {milliseconds(10),     milliseconds(60),    milliseconds(260),
                                      milliseconds(1100),   milliseconds(2500),  milliseconds(10'100),
                                      milliseconds(20'100), milliseconds(61'000)};
constexpr milliseconds graces[] = {milliseconds(0), milliseconds(100), milliseconds(5000)};

const std::string& word(const std::vector<std::string>& words, unsigned which) {
  return words[which % words.size()];
}

// An origin must not forge what our own answers are known by.
std::string harmless(std::string_view octets) {
  std::string out(octets);
  for (auto& c : out) c = c == 'D' ? 'd' : c;
  return out;
}

// Nor may anybody know a credential by luck.
std::string_view unknowing(std::string_view octets) {
  return holds_a_credential(octets) ? std::string_view() : octets;
}

void perform(act what, world& w, reader& in) {
  const auto who = [&in] { return in.octet(); };
  switch (what) {
    case act::connect:
      return w.connect(in.octet());
    case act::client_word: {
      const auto from = who();
      return w.say(side::client, from, word(words_of_clients(), in.octet()));
    }
    case act::client_octets: {
      const auto from = who();
      return w.say(side::client, from, unknowing(in.octets(in.octet())));
    }
    case act::client_much: {
      const auto from = who();
      return w.say_much(side::client, from, 1U << in.octet() % 9);
    }
    case act::client_fin:
      return w.half_close(side::client, who());
    case act::client_reset:
      return w.reset(side::client, who());
    case act::client_close:
      return w.close(side::client, who());
    case act::client_reading: {
      const auto from = who();
      return w.set_reading(side::client, from, in.octet() % 2 != 0);
    }
    case act::origin_word: {
      const auto from = who();
      return w.say(side::origin, from, word(words_of_origins(), in.octet()));
    }
    case act::origin_octets: {
      const auto from = who();
      return w.say(side::origin, from, harmless(unknowing(in.octets(in.octet()))));
    }
    case act::origin_much: {
      const auto from = who();
      return w.say_much(side::origin, from, 1U << in.octet() % 9);
    }
    case act::origin_fin:
      return w.half_close(side::origin, who());
    case act::origin_reset:
      return w.reset(side::origin, who());
    case act::origin_close:
      return w.close(side::origin, who());
    case act::origin_reading: {
      const auto from = who();
      return w.set_reading(side::origin, from, in.octet() % 2 != 0);
    }
    case act::answering:
      return w.set_answering(static_cast<answering>(in.octet() % answering_count));
    case act::release_answers:
      return w.release_answers();
    case act::load:
      return w.load(in.octet());
    case act::seal:
      return w.seal();
    case act::enforce:
      return w.enforce(graces[in.octet() % std::size(graces)]);
    case act::end_job:
      return w.end_job();
    case act::opened_job:
      return w.toggle_opened_job();
    case act::pass:
      return w.pass(durations[in.octet() % std::size(durations)]);
    case act::drain:
      return w.drain();
    case act::stop:
      return w.stop();
    case act::cut_out_of_time:
      return w.cut_out_of_time();
    case act::forget_names:
      return w.forget_names();
    case act::turn:
      return w.turn(1 + in.octet() % 16);
    case act::client_tls: {
      const auto from = who();
      return w.begin_tls(from, in.octet() % 2 != 0);
    }
    case act::count:
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  stage::get();
  name_server::get();
  reader in(data, size);
  const auto flags = in.octet();
  const auto ways = (flags & 0x40) != 0 ? exeat::fuzz::ways::of(in.octet()) : exeat::fuzz::ways{};
  const auto more = (flags & 0x80) != 0 ? in.octet() : 0U;
  world w({.cuts = (flags & 1) != 0,
           .others = (flags & 2) != 0,
           .idle = (flags & 4) != 0,
           .via = (flags & 8) != 0,
           .policy = flags >> 4 & 3,
           .ways = ways,
           .tls = (more & 1) != 0,
           .proves = (more & 2) != 0,
           .timed = (more & 0x80) != 0,
           .narrow = {.requests = (more & 4) != 0,
                      .dials = (more & 8) != 0,
                      .lookups = (more & 0x10) != 0,
                      .seats = (more & 0x20) != 0,
                      .buffers = (more & 0x40) != 0}});
  for (unsigned i = 0; i < most_acts && !in.done(); ++i) {
    const auto code = in.octet();
    const auto what = static_cast<act>((code & ~at_once) % static_cast<unsigned>(act::count));
    perform(what, w, in);
    if ((code & at_once) == 0 && what != act::turn) w.settle();
  }
  return 0;
}
