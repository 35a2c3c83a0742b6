//! http_others
