//! What is said of a panic: at the start what it is, with its text, and while requests are served only where it
//! was, for its text may contain what a caller sent.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether there may be requests.
static SERVES: AtomicBool = AtomicBool::new(false);

/// Says panics in the log from now on.
pub(super) fn tell() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        // Relaxed: it is set before there are threads that serve.
        if SERVES.load(Ordering::Relaxed) {
            tracing::error!(place, "panic: one request lost");
        } else {
            let payload = panic.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
            tracing::error!(place, "panic at start: {text}");
        }
    }));
}

/// From now on there may be requests.
pub(super) fn expect_requests() {
    SERVES.store(true, Ordering::Relaxed);
}
