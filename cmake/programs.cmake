# Installs programs, which find the library beside them wherever the prefix is; the system's own needs no help.
function(bnnep_install_programs)
  if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    file(RELATIVE_PATH _to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(${ARGN} PROPERTIES INSTALL_RPATH "$ORIGIN/${_to_lib}")
  endif()
  install(TARGETS ${ARGN} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
