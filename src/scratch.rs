//! Reading without holding a buffer while nothing comes.
//!
//! Most connections are idle most of the time. What waits reads into a buffer that the thread has for all of them,
//! and a connection has one of its own only as long as something lies in it. So it is with the large buffers that long
//! content is read into: what is read into one lies there until it is written, and then the thread has it again.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// What is read at a time through the thread's buffer: no TLS record has more.
pub const SIZE: usize = 16 * 1024;
/// What is read at a time of long content, and lies in memory for one direction of an exchange, at most.
pub const PIECE: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into_boxed_slice());
}

/// Reads at most `most` bytes, and [`SIZE`], behind what `buffer` holds; gives how many, none at the end.
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
        if part.filled().len() == SIZE && buffer.is_empty() {
            // There is more, most likely.
            *buffer = piece();
        }
        buffer.extend_from_slice(part.filled());
        Poll::Ready(Ok(part.filled().len()))
    })
}

/// Reads straight into `buffer`, which holds less than a piece, until it is one; gives how many bytes, none at the end.
pub fn poll_read_long(
    reader: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let room = PIECE.saturating_sub(buffer.len());
    if !buffer.try_reclaim(room) {
        let mut piece = piece();
        piece.extend_from_slice(buffer);
        let mut small = std::mem::replace(buffer, piece);
        small.clear();
        give_back_piece(&mut small);
    }
    let read = pin!(reader.read_buf(&mut buffer.limit(room))).poll(cx);
    give_back_piece(buffer);
    read
}

/// Pieces that wait to be read into, and how large each is: the head that came before its content goes nowhere.
const PIECES: usize = 8;
const ROOM_FOR_PIECE: usize = PIECE + 4 * 1024;

thread_local! {
    static FREE_PIECES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

fn piece() -> BytesMut {
    let free = FREE_PIECES.with_borrow_mut(Vec::pop);
    free.unwrap_or_else(|| BytesMut::with_capacity(ROOM_FOR_PIECE))
}

/// Gives a buffer back that has room for a piece, if nothing lies in it.
pub fn give_back_piece(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.try_reclaim(ROOM_FOR_PIECE) {
        let buffer = std::mem::take(buffer);
        FREE_PIECES.with_borrow_mut(|free| {
            if free.len() < PIECES {
                free.push(buffer);
            }
        });
    }
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
