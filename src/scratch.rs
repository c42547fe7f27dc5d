//! Reading without holding a buffer while nothing comes.
//!
//! Most connections are idle most of the time. What waits reads into a buffer that the thread has for all of them,
//! and a connection has one of its own only as long as something lies in it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// No TLS record has more.
const SIZE: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Reads at most `most` bytes behind what `buffer` holds; gives how many, none at the end.
pub fn poll_read(
    reader: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
    most: usize,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = most.min(scratch.len());
        let mut part = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(reader).poll_read(cx, &mut part))?;
        buffer.extend_from_slice(part.filled());
        Poll::Ready(Ok(part.filled().len()))
    })
}

/// Rooms that wait to be written into, and how large one may be to wait.
const ROOMS: usize = 64;
const LARGEST_ROOM: usize = 32 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Room to write into, of those that the thread has.
pub fn room() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(2048))
}

/// Gives room back.
pub fn give_back(mut room: Vec<u8>) {
    room.clear();
    if (1..=LARGEST_ROOM).contains(&room.capacity()) {
        FREE.with_borrow_mut(|free| {
            if free.len() < ROOMS {
                free.push(room);
            }
        });
    }
}
