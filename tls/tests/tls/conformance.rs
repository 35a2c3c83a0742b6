//! The conformance suite for streams, over TLS.

evy_test_support::stream_conformance!(crate::support::pair);

/// TLS over a TLS stream.
mod nested {
    evy_test_support::stream_conformance!(crate::support::nested_pair);
}
