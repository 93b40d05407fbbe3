# Debian packages by `cpack -G DEB` in a build of the preset deb: the library, what programs are built with, the programs.
if(NOT CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR OR NOT BNNEP_BUILD_SHARED OR NOT BNNEP_BUILD_EXAMPLES)
  return()
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME bnnep)
set(CPACK_PACKAGE_CONTACT "The libbnnep authors <libbnnep@localhost>")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL bnnep_runtime bnnep_development bnnep_tools)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian/compress.cmake)
set(_same "(= ${PROJECT_VERSION})")

# bnnep_package(COMPONENT NAME SECTION DEPENDS SUMMARY TEXT)
macro(bnnep_package component name section depends summary text)
  string(TOUPPER ${component} _upper)
  set(CPACK_DEBIAN_${_upper}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${_upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${_upper}_PACKAGE_DEPENDS "${depends}")
  set(CPACK_DEBIAN_${_upper}_DESCRIPTION "${summary}\n${text}")
  # Rules that only the packager asks for.
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/debian/copyright ${PROJECT_BINARY_DIR}/changelog.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${name} COMPONENT ${component} EXCLUDE_FROM_ALL)
endmacro()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS CHANGELOG.md)
execute_process(COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md OUTPUT_FILE ${PROJECT_BINARY_DIR}/changelog.gz)

set(_text "Networks with binary weights, and with binary activations where asked for,\n\
that relax to an equilibrium and learn by a local rule from two relaxations.")
bnnep_package(bnnep_runtime libbnnep${_bnnep_SOVERSION} libs ""
  "binary neural networks trained by equilibrium propagation" "${_text}")
set(CPACK_DEBIAN_BNNEP_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/debian/triggers)
set(_development "libbnnep${_bnnep_SOVERSION} ${_same}, libjansson-dev")
if(bnnep_openblas)
  string(APPEND _development ", libopenblas-dev")
endif()
if(bnnep_zlib)
  string(APPEND _development ", zlib1g-dev")
endif()
bnnep_package(bnnep_development libbnnep-dev libdevel "${_development}"
  "binary neural networks (development files)"
  "${_text}\n.\nThe header, the static library and what CMake and pkg-config need.")
bnnep_package(bnnep_tools bnnep-tools science "libbnnep${_bnnep_SOVERSION} ${_same}"
  "binary neural networks (programs)"
  "${_text}\n.\nPrograms that train such networks and classify with them; a sample of MNIST.")
include(CPack)
