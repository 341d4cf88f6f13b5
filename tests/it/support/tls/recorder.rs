//! A stream that keeps the first bytes that were read from it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is kept: the preface of HTTP/2 and the frames that follow it at once.
const KEPT: usize = 1024;

/// The bytes that were kept.
pub type Words = Arc<Mutex<Vec<u8>>>;

pub struct Recorder<S> {
    inner: S,
    words: Words,
}

impl<S> Recorder<S> {
    pub fn new(inner: S) -> (Self, Words) {
        let words = Words::default();
        let recorder = Self {
            inner,
            words: Arc::clone(&words),
        };
        (recorder, words)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let mut words = self.words.lock().expect("no panic");
        let room = KEPT - words.len();
        words.extend(buffer.filled()[before..].iter().take(room));
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
