#include "load/conversation.hpp"

#include <array>
#include <utility>

namespace exeat::bench {

namespace {

std::array<char, std::size_t{128} << 10> scratch;

}  // namespace

conversation::conversation(loop& events, int descriptor, topic about, tally& counts)
    : events_{events}, about_{std::move(about)}, counts_{counts} {
  connect(descriptor);
}

bool conversation::connect(int descriptor) {
  connection_ = channel{descriptor};
  if (descriptor < 0) {
    counts_.failed("dial");
    return false;
  }
  events_.add(descriptor, *this);
  return true;
}

void conversation::ready(std::uint32_t) {
  if (!connection_.open()) {
    return;
  }
  if (!begun_ && !counts_.stopping) {
    begin();
  }
  if (!go_on()) {
    counts_.failed("the connection ended");
    connection_.shut();
  }
}

void conversation::begin() {
  since_ = now();
  rest_ = about_.message;
  back_ = 0;
  begun_ = true;
  reply_.begin(false);
}

bool conversation::go_on() {
  while (begun_) {
    if (!rest_.empty() && connection_.send(rest_) == io::again) {
      return true;  // what has failed shows in what is read
    }
    const heard what = listen();
    if (what == heard::stale && !counts_.stopping) {
      if (!dial_again()) {
        return false;
      }
      rest_ = about_.message;
      continue;
    }
    if (what != heard::all) {
      return what == heard::nothing || what == heard::stale;
    }
    used_ = true;
    counts_.done(since_);
    begun_ = false;
    if (counts_.stopping) {
      return true;
    }
    const bool stays = !about_.page || reply_.persistent();
    begin();
    if (!stays && !dial_again()) {
      return false;
    }
  }
  return true;
}

bool conversation::dial_again() {
  ++counts_.redials;
  used_ = false;
  return connect(about_.redial());
}

conversation::heard conversation::listen() {
  while (true) {
    std::size_t got = 0;
    const io state = connection_.receive(scratch.data(), scratch.size(), got);
    if (state == io::again) {
      return heard::nothing;
    }
    if (about_.page) {
      if (state != io::done && used_ && !reply_.begun()) {
        return heard::stale;
      }
      const auto read = state == io::done     ? reply_.take({scratch.data(), got})
                        : state == io::closed ? reply_.ended()
                                              : reply::state::broken;
      if (read == reply::state::more) {
        continue;
      }
      return read == reply::state::whole && reply_.status() == 200 && reply_.body() == about_.body
                 ? heard::all
                 : heard::broken;
    }
    if (state != io::done || back_ + got > about_.message.size() ||
        about_.message.compare(back_, got, scratch.data(), got) != 0) {
      return heard::broken;
    }
    back_ += got;
    if (back_ == about_.message.size()) {
      return heard::all;
    }
  }
}

}  // namespace exeat::bench
