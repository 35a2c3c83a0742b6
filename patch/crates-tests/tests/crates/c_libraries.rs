//! c_libraries
