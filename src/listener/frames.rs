//! The frames of an HTTP/2 connection that ask for nothing: how many there may be.
//!
//! The library answers or reads every PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM and frame of an unknown kind,
//! and never tires; it bounds by itself only empty and tiny DATA, CONTINUATION, resets of streams that nobody saw, and
//! streams beyond their number. HEADERS of a stream that it has reset it reads and drops. So what a client sends is
//! counted as it arrives: a stock that grows with time, with requests, and with what the client was sent (whoever takes a
//! long answer says so in many a WINDOW_UPDATE).

use std::time::Instant;

/// Frames that may come at once.
const MOST: u64 = 1000;
/// Frames that may come each second.
const PER_SECOND: u64 = 100;
/// Frames that come with a request.
const PER_REQUEST: u64 = 10;
/// Bytes sent to the client for which it may send a frame.
const BYTES_PER_FRAME: u64 = 256;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 section 3.4).
const PREFACE_LENGTH: u64 = 24;
const HEAD_LENGTH: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// What a connection may still send, and where in a frame it is.
#[derive(Debug)]
pub(super) struct Frames {
    left: u64,
    since: Instant,
    /// Bytes sent for which no frame was added yet.
    sent: u64,
    /// The newest stream: what comes for an older one is no request.
    newest: u32,
    /// Bytes that belong to no head.
    skip: u64,
    head: [u8; HEAD_LENGTH],
    filled: usize,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        let head = [0; HEAD_LENGTH];
        Self { left: MOST, since: now, sent: 0, newest: 0, skip: PREFACE_LENGTH, head, filled: 0 }
    }

    /// Counts the frames that begin in what arrived. Says whether that may go on.
    pub(super) fn take(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        self.refill(now);
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= u64::try_from(skipped).unwrap_or(0);
            bytes = bytes.get(skipped..).unwrap_or_default();
            // `filled` is below the head's length here; the arm cuts the connection if it ever is not.
            let Some(room) = self.head.get_mut(self.filled..) else { return false };
            let part = room.len().min(bytes.len());
            let (now_here, rest) = bytes.split_at(part);
            if let Some(room) = room.get_mut(..part) {
                room.copy_from_slice(now_here);
            }
            (self.filled, bytes) = (self.filled + part, rest);
            if self.filled == HEAD_LENGTH && !self.begin() {
                return false;
            }
        }
        true
    }

    /// A head is here.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, _, stream @ ..] = self.head;
        // Its first bit means nothing (RFC 9113 section 4.1).
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        self.skip = u64::from(u32::from_be_bytes([0, high, middle, low]));
        self.filled = 0;
        match kind {
            // Windows and the library's own count of tiny frames bound it.
            DATA => {}
            // A newer number only: trailers, and heads of streams that were reset, are no requests.
            HEADERS if stream > self.newest => {
                self.newest = stream;
                // No stock beyond the first: a quiet hour must not pay for a flood.
                self.left = (self.left + PER_REQUEST).min(MOST);
            }
            _ => match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => return false,
            },
        }
        true
    }

    /// Notes what was sent to the client.
    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.sent += u64::try_from(bytes).unwrap_or(0);
        self.left = (self.left + self.sent / BYTES_PER_FRAME).min(MOST);
        // The rest is kept: many small answers make a frame's worth together.
        self.sent %= BYTES_PER_FRAME;
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        let grown =
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).saturating_mul(PER_SECOND)
                / 1000;
        // What is less than a frame is kept for the next time.
        if grown > 0 {
            self.left = self.left.saturating_add(grown).min(MOST);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        on(1, kind, length)
    }

    fn on(stream: u8, kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        let head = [high, middle, low, kind, 0, 0, 0, 0, stream];
        [&head[..], &vec![0xff; length]].concat()
    }

    fn begun() -> (Frames, Instant) {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert!(frames.take(PREFACE, now));
        (frames, now)
    }

    #[test]
    fn frames_that_ask_for_nothing_have_an_end() {
        // RST_STREAM, PRIORITY, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, and one that nobody knows.
        for (kind, length) in
            [(3, 4), (2, 5), (4, 0), (6, 8), (8, 4), (9, 0), (0xee, 100), (0xee, 0)]
        {
            let (mut frames, now) = begun();
            let flood = frame(kind, length).repeat(1000);
            assert!(frames.take(&flood, now), "{kind}");
            assert!(!frames.take(&frame(kind, length), now), "{kind}");
        }
    }

    #[test]
    fn fields_of_a_stream_that_was_there_are_no_request() {
        let (mut frames, now) = begun();
        assert!(frames.take(&on(3, HEADERS, 30), now));
        for stream in [3, 1] {
            assert!(frames.take(&on(stream, HEADERS, 30).repeat(500), now), "{stream}");
        }
        assert!(!frames.take(&on(3, HEADERS, 30), now));
        // A new one is worth what it is worth.
        let (mut frames, now) = begun();
        assert!(frames.take(&frame(6, 8).repeat(1000), now));
        assert!(frames.take(&on(5, HEADERS, 30), now));
        assert!(frames.take(&on(5, HEADERS, 0).repeat(10), now));
        assert!(!frames.take(&on(5, HEADERS, 0), now));
    }

    #[test]
    fn they_are_found_however_they_arrive() {
        let (mut frames, now) = begun();
        let flood = frame(0xee, 20).repeat(1001);
        let mut pieces = flood.chunks(7);
        assert!(pieces.any(|piece| !frames.take(piece, now)));
        let (mut frames, now) = begun();
        // What looks like frames is the content of one.
        assert!(frames.take(&frame(DATA, 16_000).repeat(1000), now));
    }

    #[test]
    fn whoever_asks_waits_or_takes_may_go_on() {
        let (mut frames, now) = begun();
        let pings = |number: usize| frame(6, 8).repeat(number);
        assert!(frames.take(&pings(1000), now));
        assert!(frames.take(&frame(HEADERS, 30), now) && frames.take(&pings(10), now));
        assert!(frames.take(&pings(100), now + Duration::from_secs(1)));
        frames.note_sent(100);
        frames.note_sent(25_500);
        assert!(frames.take(&pings(100), now + Duration::from_secs(1)));
        assert!(!frames.take(&pings(1), now + Duration::from_secs(1)));
        // A stock is not saved up for a flood.
        let (mut frames, now) = begun();
        let later = now + Duration::from_secs(3600);
        assert!(frames.take(&pings(1000), later) && !frames.take(&pings(1), later));
    }
}
