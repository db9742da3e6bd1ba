// What a worker holds of each client connection that is not yet, or never, a tunnel.
#pragma once
#include <boost/intrusive/list.hpp>

namespace exeat::proxy {

class live_session
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// The process is stopping: end now if idle between requests, else after the present one.
  virtual void drain() noexcept = 0;
  /// The worker's policy denies what it let through before, maybe: end that.
  virtual void tighten() noexcept = 0;
  /// Phases were sealed, or their time has passed: end what belongs to one.
  virtual void seal() noexcept = 0;
  /// End now, whatever is under way.
  virtual void abort() noexcept = 0;

 protected:
  ~live_session() = default;
};

using live_sessions = boost::intrusive::list<live_session, boost::intrusive::constant_time_size<false>>;

}  // namespace exeat::proxy
