# How all of the project's own code is compiled: bnnep_flags, linked by every target.
add_library(bnnep_flags INTERFACE)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
# Files of any size, and inodes of any number, on 32 bits too: without it even stat() fails on many a file system.
target_compile_definitions(bnnep_flags INTERFACE _XOPEN_SOURCE=700 _FILE_OFFSET_BITS=64)
target_compile_options(bnnep_flags INTERFACE
  # The same bits everywhere: no fused multiply-adds but those written as such. The other two change no result;
  # they let loops with comparisons be vectorised.
  -ffp-contract=off -fno-math-errno -fno-trapping-math
  -Wall -Wextra -Wpedantic -Wcast-qual -Wwrite-strings -Wundef -Wpointer-arith -Wformat=2 -Wvla
  $<$<COMPILE_LANGUAGE:C>:-Wconversion$<SEMICOLON>-Wshadow$<SEMICOLON>-Wstrict-prototypes$<SEMICOLON>-Wmissing-prototypes$<SEMICOLON>-Wold-style-definition>)
if(BNNEP_WERROR)
  target_compile_options(bnnep_flags INTERFACE -Werror)
endif()
if(BNNEP_SANITIZE)
  target_compile_options(bnnep_flags INTERFACE -fsanitize=${BNNEP_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
endif()
if(BNNEP_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "BNNEP_FUZZ needs clang (CC=clang); the compiler is ${CMAKE_C_COMPILER_ID}")
  endif()
  target_compile_options(bnnep_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
# Release with -O3: the loops over lanes are meant to be vectorised.
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")
