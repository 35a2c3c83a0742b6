//! The conformance suite for streams, over TCP, over Unix sockets, and over a boxed stream.

mod tcp {
    evy_test_support::stream_conformance!(evy_test_support::stream::tcp_pair);
}

mod unix {
    evy_test_support::stream_conformance!(no reset evy_test_support::stream::unix_pair);
}

#[test]
fn a_wait_for_data_of_a_nonblocking_stream_does_not_park() {
    use std::io::{ErrorKind, Read, Write};

    use evy_net::Stream;

    evy_test_support::within(|| {
        let (mut far, mut near) = evy_test_support::stream::tcp_pair();
        for _ in 0..2 {
            near.set_nonblocking(true).unwrap();
            let error = near.wait_readable().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            far.write_all(b"x").unwrap();
            evy_runtime::sleep(std::time::Duration::from_millis(10));
            near.wait_readable().unwrap();
            // Once more with a socket that is registered.
            near.set_nonblocking(false).unwrap();
            near.wait_readable().unwrap();
            assert_eq!(near.read(&mut [0; 10]).unwrap(), 1);
        }
    });
}

mod boxed {
    use std::any::Any;
    use std::cell::Cell;
    use std::io::{self, Read, Write};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use evy_net::Stream;
    use evy_net::unix::UnixStream;
    use evy_test_support::stream::{tcp_pair, unix_pair};
    use evy_test_support::within;

    fn boxed_pair() -> (Box<dyn Stream>, Box<dyn Stream>) {
        let (a, b) = tcp_pair();
        (Box::new(a), Box::new(b))
    }

    evy_test_support::stream_conformance!(boxed_pair);

    /// A stream that has a handshake.
    struct WithHandshake {
        io: UnixStream,
        is_done: Rc<Cell<bool>>,
    }

    impl Read for WithHandshake {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.io.read(buf)
        }
    }

    impl Write for WithHandshake {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.io.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.io.flush()
        }
    }

    impl Stream for WithHandshake {
        fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.io.set_read_timeout(timeout)
        }

        fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.io.set_write_timeout(timeout)
        }

        fn close_write(&mut self) -> io::Result<()> {
            self.io.close_write()
        }

        fn handshake(&mut self) -> io::Result<()> {
            self.is_done.set(true);
            Ok(())
        }

        fn info(&self) -> Option<Arc<dyn Any + Send + Sync>> {
            Some(Arc::new("settled"))
        }
    }

    #[test]
    fn a_boxed_stream_has_the_handshake_and_the_info_of_its_content() {
        within(|| {
            let is_done = Rc::new(Cell::new(false));
            let (io, _peer) = unix_pair();
            let stream = WithHandshake {
                io,
                is_done: Rc::clone(&is_done),
            };
            let mut boxed: Box<dyn Stream> = Box::new(stream);
            boxed.handshake().unwrap();
            assert!(is_done.get());
            let info = Stream::info(&boxed).unwrap();
            assert_eq!(info.downcast_ref(), Some(&"settled"));
        });
    }

    #[test]
    fn the_type_of_a_boxed_stream_can_be_asked_for() {
        within(|| {
            let (a, _b) = boxed_pair();
            let content: Box<dyn Any> = a;
            assert!(content.downcast::<evy_net::TcpStream>().is_ok());
        });
    }
}
