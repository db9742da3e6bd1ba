# Flags that every target of ours shares.
add_library(exeat_options INTERFACE)
target_include_directories(exeat_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(exeat_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wimplicit-fallthrough -Wno-missing-field-initializers
  -fno-omit-frame-pointer -fstack-protector-strong
  # All of it ends in executables: one kind of position independence, which a shared precompiled header needs.
  -fPIE)
target_compile_definitions(exeat_options INTERFACE
  _GLIBCXX_ASSERTIONS
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_HAS_CO_AWAIT
  EXEAT_VERSION="${PROJECT_VERSION}")
target_link_options(exeat_options INTERFACE -fuse-ld=lld-19 -Wl,-z,relro,-z,now)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(EXEAT_SANITIZE)
  target_compile_options(exeat_options INTERFACE -fsanitize=${EXEAT_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(exeat_options INTERFACE -fsanitize=${EXEAT_SANITIZE})
  # UBSan's vptr check asks through a socket pair whether an object can be read: out of descriptors, which is a state
  # our tests bring about, it calls every object it meets for the first time invalid.
  if(EXEAT_SANITIZE MATCHES "undefined")
    target_compile_options(exeat_options INTERFACE -fno-sanitize=vptr)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(exeat_options INTERFACE _FORTIFY_SOURCE=3)
  target_compile_options(exeat_options INTERFACE -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(exeat_options INTERFACE -fcf-protection=full)
  endif()
  target_link_options(exeat_options INTERFACE -pie -Wl,-z,noexecstack -Wl,-z,separate-code)
endif()

# ccache knows a precompiled header again only with these; the paths of the checkout and of the build directory
# stay out of the hash, so that several build directories share what they compile alike.
if(CMAKE_CXX_COMPILER_LAUNCHER STREQUAL "ccache")
  set(CMAKE_CXX_COMPILER_LAUNCHER
    env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ccache)
endif()
