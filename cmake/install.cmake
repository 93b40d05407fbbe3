# What `cmake --install` puts where.
include(CMakePackageConfigHelpers)
set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bnnep)
set(_data_dir ${CMAKE_INSTALL_DATADIR}/bnnep)

install(TARGETS bnnep EXPORT bnnep-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS bnnep_static EXPORT bnnep-static-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT bnnep-targets NAMESPACE bnnep:: DESTINATION ${_package_dir})
install(EXPORT bnnep-static-targets NAMESPACE bnnep:: DESTINATION ${_package_dir})
install(DIRECTORY include/bnnep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

configure_package_config_file(cmake/bnnep-config.cmake.in bnnep-config.cmake INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(bnnep-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bnnep-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/bnnep-config-version.cmake
  DESTINATION ${_package_dir})

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
configure_file(bnnep.pc.in bnnep.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bnnep.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES LICENSE README.md CHANGELOG.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY examples/data/ DESTINATION ${_data_dir}/data)
