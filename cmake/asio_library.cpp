// Asio's own, non-template code, compiled once for the builds that define BOOST_ASIO_SEPARATE_COMPILATION
// (cmake/ExeatFloor.cmake, exeat_asio). In a release build this file is empty on purpose.
#ifdef BOOST_ASIO_SEPARATE_COMPILATION
#include <boost/asio/impl/src.hpp>
#endif
