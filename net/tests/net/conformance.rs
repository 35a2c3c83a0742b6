//! The conformance suite for streams, over TCP.

evy_test_support::stream_conformance!(evy_test_support::stream::tcp_pair);
