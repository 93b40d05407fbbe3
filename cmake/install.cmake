# What `cmake --install` puts where. The components are the Debian packages of cmake/packages.cmake.
include(CMakePackageConfigHelpers)
set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bnnep)
set(_data_dir ${CMAKE_INSTALL_DATADIR}/bnnep)

if(BNNEP_BUILD_SHARED)
  install(TARGETS bnnep EXPORT bnnep-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    COMPONENT bnnep_runtime NAMELINK_COMPONENT bnnep_development)
  install(EXPORT bnnep-targets NAMESPACE bnnep:: DESTINATION ${_package_dir} COMPONENT bnnep_development)
endif()
install(TARGETS bnnep_static EXPORT bnnep-static-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  COMPONENT bnnep_development)
install(EXPORT bnnep-static-targets NAMESPACE bnnep:: DESTINATION ${_package_dir} COMPONENT bnnep_development)
install(DIRECTORY include/bnnep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT bnnep_development
  FILES_MATCHING PATTERN "*.h")

# The libraries that the library needs: in CMake's words, in pkg-config's and in ours.
set(bnnep_modules jansson)
if(bnnep_openblas)
  list(APPEND bnnep_modules openblas)
endif()
set(bnnep_needs ${bnnep_modules})
set(bnnep_with_zlib OFF)
if(bnnep_zlib)
  set(bnnep_with_zlib ON)
  list(APPEND bnnep_needs zlib)
endif()
list(JOIN bnnep_needs ", " bnnep_needs)
list(JOIN bnnep_modules " " bnnep_modules)
configure_package_config_file(cmake/bnnep-config.cmake.in bnnep-config.cmake INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(bnnep-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bnnep-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/bnnep-config-version.cmake
  DESTINATION ${_package_dir} COMPONENT bnnep_development)

# pkg-config paths stay relative to the prefix where they are, and absolute where the user made them so.
foreach(_dir LIBDIR INCLUDEDIR DATADIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${_dir}}")
    set(PC_${_dir} "${CMAKE_INSTALL_${_dir}}")
  else()
    set(PC_${_dir} "\${prefix}/${CMAKE_INSTALL_${_dir}}")
  endif()
endforeach()
# The prefix is found from where the file lies, so that `cmake --install --prefix` and moved trees work.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH _up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" _up "${_up}")
  set(PC_PREFIX "\${pcfiledir}/${_up}")
endif()
# What the library needs is the linker's business with libbnnep.a alone.
if(BNNEP_BUILD_SHARED)
  set(PC_PRIVATE ".private")
  set(PC_LIBS "-lbnnep\nLibs.private: -lm -ldl -pthread")
else()
  set(PC_PRIVATE "")
  set(PC_LIBS "-lbnnep -lm -ldl -pthread")
endif()
configure_file(bnnep.pc.in bnnep.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bnnep.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT bnnep_development)

install(FILES LICENSE README.md CHANGELOG.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT bnnep_development)
install(FILES examples/data/README.md DESTINATION ${_data_dir}/data)
install(DIRECTORY ${bnnep_sample} DESTINATION ${_data_dir}/data)
