#include "load/visit.hpp"

#include <array>
#include <cerrno>
#include <cstring>

namespace exeat::bench {

namespace {

std::array<char, std::size_t{64} << 10> scratch;

}  // namespace

bool visit::dial(std::uint64_t since) {
  static std::size_t turn = 0;
  since_ = since;
  port_ = turn++ % way_.ports.size();
  const int descriptor = way_.dial(way_.ports[port_]);
  if (descriptor < 0) {
    counts_.failed(std::string{"dial: "} + std::strerror(errno));
    return false;
  }
  connection_ = channel{descriptor};
  events_.add(descriptor, *this);
  reply_.begin(what_.to_connect);
  back_ = 0;
  if (what_.heads.empty()) {
    stage_ = stage::send;
    rest_ = what_.payload;
    if (what_.tls != nullptr) {
      connection_.secure(what_.tls, way_.host.c_str());
    }
  } else {
    stage_ = stage::ask;
    rest_ = what_.heads[port_ % what_.heads.size()];
  }
  return true;
}

void visit::begin(std::uint64_t since) {
  if (dial(since)) {
    go();
  }
}

void visit::ready(std::uint32_t) {
  if (connection_.open()) {
    go();
  }
}

void visit::go() {
  while (true) {
    const outcome now_is = step();
    if (now_is == outcome::wait) {
      return;
    }
    connection_.shut();
    if (now_is == outcome::over) {
      counts_.done(since_);
    }
    // After a failure whoever leads the visits begins the next one, later: nothing is hammered that is down.
    if (now_is == outcome::failed || !again_ || counts_.stopping || !dial(now())) {
      return;
    }
  }
}

visit::outcome visit::step() {
  while (true) {
    const stage before = stage_;
    outcome result = outcome::wait;
    switch (stage_) {
      case stage::ask:
        result = ask();
        break;
      case stage::answer:
        result = answer();
        break;
      case stage::send:
        result = send();
        break;
      case stage::receive:
        result = receive();
        break;
    }
    if (result != outcome::wait || stage_ == before) {
      return result;
    }
  }
}

visit::outcome visit::ask() {
  const io state = connection_.send(rest_);
  if (state == io::done) {
    stage_ = stage::answer;
  }
  return state == io::done || state == io::again ? outcome::wait : fail("asking");
}

visit::outcome visit::answer() {
  while (true) {
    std::size_t got = 0;
    const io state = connection_.receive(scratch.data(), scratch.size(), got);
    if (state == io::again) {
      return outcome::wait;
    }
    const auto read = state == io::done     ? reply_.take({scratch.data(), got})
                      : state == io::closed ? reply_.ended()
                                            : reply::state::broken;
    if (read == reply::state::broken) {
      return fail("no good answer");
    }
    if (read == reply::state::more) {
      continue;
    }
    const bool good = what_.refusal ? reply_.status() / 100 == 4 : reply_.status() == 200;
    if (!good || (!what_.to_connect && reply_.body() != what_.body)) {
      counts_.failed("status " + std::to_string(reply_.status()));
      return outcome::failed;
    }
    if (what_.payload.empty()) {
      return outcome::over;
    }
    if (what_.tls != nullptr) {
      connection_.secure(what_.tls, way_.host.c_str());
    }
    rest_ = what_.payload;
    stage_ = stage::send;
    return outcome::wait;
  }
}

visit::outcome visit::send() {
  const io state = connection_.send(rest_);
  if (state == io::done) {
    stage_ = stage::receive;
  }
  return state == io::done || state == io::again ? outcome::wait : fail("sending through the tunnel");
}

visit::outcome visit::receive() {
  while (back_ < what_.payload.size()) {
    std::size_t got = 0;
    const io state = connection_.receive(scratch.data(), scratch.size(), got);
    if (state == io::again) {
      return outcome::wait;
    }
    if (state != io::done || what_.payload.compare(back_, got, scratch.data(), got) != 0) {
      return fail("receiving through the tunnel");
    }
    back_ += got;
  }
  return outcome::over;
}

visit::outcome visit::fail(const char* why) {
  counts_.failed(why);
  return outcome::failed;
}

}  // namespace exeat::bench
