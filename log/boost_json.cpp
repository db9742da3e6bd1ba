// Boost.JSON, which is header-only for us, compiled once.
#include <boost/json/src.hpp>
