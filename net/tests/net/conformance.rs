//! The conformance suite for streams, over TCP and over Unix sockets.

mod tcp {
    evy_test_support::stream_conformance!(evy_test_support::stream::tcp_pair);
}

mod unix {
    evy_test_support::stream_conformance!(no reset evy_test_support::stream::unix_pair);
}
