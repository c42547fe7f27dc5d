//! The ledger of one exchange on a connection to a backend: what was sent and what came, and so whether the request
//! may be sent again and whether the connection may carry another.
//!
//! Both questions are easy to get wrong, and wrong answers give one caller's answer to another. So they are answered
//! here, from what the connection noted as it happened, and nowhere else. A connection without [`Reusable`] is
//! closed; only a ledger makes one, and only of an exchange in which both directions came to their end.

/// How far one direction came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing.
    #[default]
    Untouched,
    /// Something.
    Begun,
    /// All.
    Whole,
}

/// What happened on a connection since it was taken for an exchange.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: Progress,
    got: Progress,
    ends: bool,
    is_broken: bool,
}

/// That a connection may carry another exchange. Only a ledger makes one:
///
/// ```compile_fail,E0603
/// let forged = portaria_decision::http1::ledger::Reusable(());
/// ```
#[derive(Debug)]
pub struct Reusable(());

/// Whether the backend has seen anything of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing was sent: another server may have it, whatever its method.
    Nothing,
    /// Something may have arrived, and nothing was answered.
    Request,
    /// Something was answered: whatever it did, it did.
    Answered,
}

impl Ledger {
    /// Bytes were taken by the transport. They count as sent, though they may wait there.
    pub fn note_sent(&mut self, bytes: usize) {
        if bytes > 0 {
            // Never back: bytes that are noted late must not undo that the request is whole.
            self.sent = self.sent.max(Progress::Begun);
        }
    }

    /// The last byte of the request was taken.
    pub fn note_sent_whole(&mut self) {
        self.sent = Progress::Whole;
    }

    /// Bytes of an answer came.
    pub fn note_got(&mut self, bytes: usize) {
        if bytes > 0 {
            self.got = self.got.max(Progress::Begun);
        }
    }

    /// The last byte of the answer came.
    pub fn note_got_whole(&mut self) {
        self.got = Progress::Whole;
    }

    /// Either side said that the connection ends.
    pub fn note_ends(&mut self) {
        self.ends = true;
    }

    /// Something went wrong: nothing is known of the connection any more.
    pub fn note_broken(&mut self) {
        self.is_broken = true;
    }

    /// What the backend saw.
    pub fn seen(&self) -> Seen {
        match (self.sent, self.got) {
            // Before what was sent: an answer may come while the request is still being written (RFC 9112
            // section 9.5).
            (_, Progress::Begun | Progress::Whole) => Seen::Answered,
            (Progress::Untouched, Progress::Untouched) => Seen::Nothing,
            (Progress::Begun | Progress::Whole, Progress::Untouched) => Seen::Request,
        }
    }

    /// Whether the connection may carry another exchange; `left` bytes came that belong to none.
    pub fn finish(self, left: usize) -> Option<Reusable> {
        let is_whole = self.sent == Progress::Whole && self.got == Progress::Whole;
        (is_whole && !self.ends && !self.is_broken && left == 0).then_some(Reusable(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.note_sent(10);
        ledger.note_sent_whole();
        ledger.note_got(10);
        ledger.note_got_whole();
        ledger
    }

    #[test]
    fn a_connection_is_reused_after_two_whole_messages_and_nothing_else() {
        assert!(whole().finish(0).is_some());
        assert!(whole().finish(1).is_none(), "a byte that belongs to nobody");
        let spoilt: [fn(&mut Ledger); 2] = [Ledger::note_ends, Ledger::note_broken];
        for spoil in spoilt {
            let mut ledger = whole();
            spoil(&mut ledger);
            assert!(ledger.finish(0).is_none());
        }
        let mut unsent = Ledger::default();
        unsent.note_sent(10);
        unsent.note_got(10);
        unsent.note_got_whole();
        assert!(unsent.finish(0).is_none(), "an answer to half of a request");
        let mut unread = Ledger::default();
        unread.note_sent(10);
        unread.note_sent_whole();
        unread.note_got(10);
        assert!(unread.finish(0).is_none(), "half of an answer");
        assert!(Ledger::default().finish(0).is_none());
    }

    #[test]
    fn what_a_backend_saw_is_what_the_transport_took() {
        let mut ledger = Ledger::default();
        ledger.note_sent(0);
        assert_eq!(ledger.seen(), Seen::Nothing);
        ledger.note_sent(1);
        assert_eq!(ledger.seen(), Seen::Request);
        ledger.note_got(0);
        assert_eq!(ledger.seen(), Seen::Request);
        ledger.note_got(1);
        assert_eq!(ledger.seen(), Seen::Answered);
    }
}
