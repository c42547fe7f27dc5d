//! The rows: what is measured of whom, against whom, and what is aimed at.

use crate::load::Shape::{Handshakes, Http1, Http2, Open};
use crate::measure::What;
use crate::proxies::Kind::{Full, Lenient, ManyTokens, OneThread, Strict, TwoThreads};
use crate::proxies::{Kind, Proxy};
use crate::target::Ask::{Large, Post, Small};

use Proxy::{EnvoyFull, EnvoyPass, Floor, HaproxyFull, HaproxyPass, Nginx};

/// One measurement of several proxies in turn.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) what: What,
    /// Whose figures are put to the others'.
    pub(crate) subject: Kind,
    pub(crate) beside: &'static [Proxy],
    /// What a measurement gives, in its order.
    pub(crate) quantities: &'static [Quantity],
}

/// What is measured, and what is made of it.
pub(crate) struct Quantity {
    pub(crate) unit: &'static str,
    pub(crate) lines: &'static [Line],
}

/// A line of the table.
pub(crate) struct Line {
    pub(crate) title: &'static str,
    pub(crate) to: To,
    /// At most.
    pub(crate) target: f64,
}

/// What the subject's figure is divided by, in each round.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Proxy(Proxy),
    /// The least of those that are there.
    Best(&'static [Proxy]),
    Nothing,
}

const CPU: &str = "us of CPU per request";
const RATE: Quantity = Quantity { unit: "requests/s", lines: &[] };

/// A row about CPU, nginx beside, and others that are named.
macro_rules! to_nginx {
    ($name:literal, $title:literal, $shape:expr, $ask:expr, $target:literal $(, $other:expr)*) => {
        Row {
            name: $name,
            title: $title,
            what: What::Cpu($shape, $ask),
            subject: Full,
            beside: &[Nginx $(, $other)*],
            quantities: &[
                Quantity {
                    unit: CPU,
                    lines: &[Line {
                        title: concat!($title, ", to nginx"),
                        to: To::Proxy(Nginx),
                        target: $target,
                    }],
                },
                RATE,
            ],
        }
    };
}

pub(crate) const ALL: &[Row] = &[
    Row {
        name: "small",
        title: "HTTP/1.1, small answer",
        what: What::Cpu(Http1(32), Small),
        subject: Full,
        beside: &[Nginx, HaproxyPass, HaproxyFull, EnvoyPass, EnvoyFull, Floor],
        quantities: &[
            Quantity {
                unit: CPU,
                lines: &[
                    Line {
                        title: "HTTP/1.1, small answer, to nginx",
                        to: To::Proxy(Nginx),
                        target: 0.85,
                    },
                    Line {
                        title: "HTTP/1.1, small answer, to HAProxy with a policy",
                        to: To::Proxy(HaproxyFull),
                        target: 0.28,
                    },
                    Line {
                        title: "HTTP/1.1, small answer, to Envoy with a policy",
                        to: To::Proxy(EnvoyFull),
                        target: 0.32,
                    },
                ],
            },
            RATE,
        ],
    },
    to_nginx!(
        "http2-8x4",
        "HTTP/2, small answer, 8 connections of 4 streams",
        Http2(8, 4),
        Small,
        0.90
    ),
    to_nginx!(
        "http2-32x1",
        "HTTP/2, small answer, 32 connections of 1 stream",
        Http2(32, 1),
        Small,
        0.97
    ),
    to_nginx!("large", "HTTP/1.1, answer of 64 KiB", Http1(32), Large, 0.50, Floor),
    to_nginx!("post-http1", "HTTP/1.1, POST of 4 KiB of JSON", Http1(32), Post, 1.00, Floor),
    to_nginx!("post-http2", "HTTP/2, POST of 4 KiB of JSON", Http2(8, 4), Post, 1.05),
    Row {
        name: "handshake",
        title: "full handshake and request",
        what: What::Cpu(Handshakes(8), Small),
        subject: Strict,
        beside: &[Nginx, HaproxyPass, EnvoyPass, Floor],
        quantities: &[
            Quantity {
                unit: "us of CPU per handshake and request",
                lines: &[Line {
                    title: "full handshake and request, list of 50,000 and profile, to the best of nginx, HAProxy, Envoy without",
                    to: To::Best(&[Nginx, HaproxyPass, EnvoyPass]),
                    target: 0.52,
                }],
            },
            RATE,
        ],
    },
    Row {
        name: "trust",
        title: "full handshake and request, list of 50,000 and profile",
        what: What::Cpu(Handshakes(8), Small),
        subject: Strict,
        beside: &[Proxy::Portaria(Lenient)],
        quantities: &[
            Quantity {
                unit: "us of CPU per handshake and request",
                lines: &[Line {
                    title: "the same, to portaria without list and profile",
                    to: To::Proxy(Proxy::Portaria(Lenient)),
                    target: 1.05,
                }],
            },
            RATE,
        ],
    },
    to_nginx!("calm", "HTTP/1.1, 300 requests/s, open loop", Open(300), Small, 0.90, Floor),
    Row {
        name: "p99",
        title: "HTTP/1.1, 2,000 requests/s, open loop",
        what: What::Latency(Open(2_000), Small),
        subject: Full,
        beside: &[Nginx, Floor],
        quantities: &[
            Quantity {
                unit: "us, p99",
                lines: &[Line {
                    title: "p99 at 2,000 requests/s, open loop, to nginx",
                    to: To::Proxy(Nginx),
                    target: 0.60,
                }],
            },
            Quantity { unit: "us, p50", lines: &[] },
        ],
    },
    Row {
        name: "idle",
        title: "memory of an idle mTLS connection",
        what: What::Idle,
        subject: Full,
        beside: &[Nginx],
        quantities: &[
            Quantity { unit: "KiB each, of 1,000", lines: &[] },
            Quantity {
                unit: "KiB each, of 5,000",
                lines: &[Line {
                    title: "KiB of an idle mTLS connection, of 5,000",
                    to: To::Nothing,
                    target: 30.0,
                }],
            },
        ],
    },
    Row {
        name: "tokens",
        title: "HTTP/1.1, small answer, each request with the next token",
        what: What::Tokens(Http1(32)),
        subject: ManyTokens,
        beside: &[Proxy::Portaria(Kind::FewTokens)],
        quantities: &[
            Quantity {
                unit: CPU,
                lines: &[Line {
                    title: "MANY distinct tokens, to 1,000",
                    to: To::Proxy(Proxy::Portaria(Kind::FewTokens)),
                    target: 1.07,
                }],
            },
            Quantity { unit: "bytes per token", lines: &[] },
        ],
    },
    Row {
        name: "threads",
        title: "HTTP/1.1, small answer, saturated, all on both cores",
        what: What::CpuUnpinned(Http1(64), Small),
        subject: TwoThreads,
        beside: &[Proxy::Portaria(OneThread)],
        quantities: &[
            Quantity {
                unit: CPU,
                lines: &[Line {
                    title: "a request with two threads, to one thread, all on both cores",
                    to: To::Proxy(Proxy::Portaria(OneThread)),
                    target: 1.05,
                }],
            },
            RATE,
        ],
    },
    Row {
        name: "start",
        title: "start to the first admitted request",
        what: What::Start,
        subject: Full,
        beside: &[],
        quantities: &[Quantity {
            unit: "ms",
            lines: &[Line {
                title: "ms from the start to the first admitted request",
                to: To::Nothing,
                target: 60.0,
            }],
        }],
    },
    Row {
        name: "reload",
        title: "reload under full load",
        what: What::Reload(Http1(32)),
        subject: Full,
        beside: &[],
        quantities: &[Quantity {
            unit: "ms, median",
            lines: &[Line {
                title: "ms of a reload under full load, median",
                to: To::Nothing,
                target: 40.0,
            }],
        }],
    },
    Row {
        name: "instructions",
        title: "instructions of a warm request, callgrind",
        what: What::Instructions,
        subject: Full,
        beside: &[Nginx],
        quantities: &[Quantity {
            unit: "instructions",
            lines: &[Line {
                title: "instructions of a warm request",
                to: To::Nothing,
                target: 50_000.0,
            }],
        }],
    },
];
