//! What each metric is called, what it says and by what it is told apart.

/// Name, help and labels of a metric.
pub(in crate::report) struct Described(
    pub(in crate::report) &'static str,
    pub(in crate::report) &'static str,
    pub(in crate::report) &'static [&'static str],
);

pub(super) const REQUESTS: Described = Described(
    "portaria_requests_total",
    "Exchanges by route, class, status class and outcome.",
    &["api", "route", "class", "status_class", "outcome"],
);
pub(super) const REFUSALS: Described =
    Described("portaria_refusals_total", "Refused requests by stage and code.", &["stage", "code"]);
pub(super) const WOULD_REFUSE: Described = Described(
    "portaria_would_refuse_total",
    "Requests that went on in shadow mode, by api and by the stage and code of what would have refused them.",
    &["api", "stage", "code"],
);
pub(super) const OVER_LIMIT: Described = Described(
    "portaria_over_limit_requests_total",
    "Requests over a quota: outside the response-time statistics.",
    &["code"],
);
pub(super) const CLIENT_ABORTS: Described =
    Described("portaria_client_aborts_total", "Exchanges that the client gave up.", &[]);
pub(super) const RESPONSE: Described = Described(
    "portaria_response_time_seconds",
    "From a whole head to the last byte written, without what passed waiting for the caller.",
    &["api", "class"],
);
pub(super) const GATEWAY: Described = Described(
    "portaria_gateway_time_seconds",
    "The part of the response time that is the gateway's own.",
    &["api", "class"],
);
pub(super) const BACKEND: Described = Described(
    "portaria_backend_time_seconds",
    "The part of the response time that is the backend's.",
    &["api", "class"],
);
pub(super) const CALLER: Described = Described(
    "portaria_caller_time_seconds",
    "Time that passed waiting for callers: for the rest of a head, for a body, for room for an answer, for an earlier request to the same operation.",
    &["part"],
);
pub(super) const P95: Described = Described(
    "portaria_response_time_p95_seconds",
    "95th percentile of the response time by class, for the day (UTC) and the last minute.",
    &["class", "window"],
);
pub(super) const TARGET: Described = Described(
    "portaria_response_time_target_seconds",
    "The legal 95th percentile of each class.",
    &["class"],
);
pub(super) const HANDSHAKES: Described = Described(
    "portaria_handshakes_total",
    "TLS handshakes by listener and result.",
    &["listener", "result"],
);
pub(super) const CERTIFICATE_REFUSALS: Described = Described(
    "portaria_client_certificate_refusals_total",
    "Client certificates refused by listener and reason, in handshakes and on open connections.",
    &["listener", "reason"],
);
pub(super) const CERTIFICATE_FINDINGS: Described = Described(
    "portaria_client_certificate_findings_total",
    "Rules of the profile that client certificates break, by listener, rule and level, once a connection.",
    &["listener", "rule", "level"],
);
pub(super) const CERTIFICATE_EXPIRY: Described = Described(
    "portaria_certificate_expiry_timestamp_seconds",
    "When the server certificate of a listener, or the first of its trust anchors, expires.",
    &["listener", "certificate"],
);
pub(super) const LIST_THIS_UPDATE: Described = Described(
    "portaria_crl_this_update_timestamp_seconds",
    "When a revocation list was issued.",
    &["listener", "list", "source"],
);
pub(super) const LIST_NEXT_UPDATE: Described = Described(
    "portaria_crl_next_update_timestamp_seconds",
    "When the next revocation list is due.",
    &["listener", "list", "source"],
);
pub(super) const LIST_ENTRIES: Described = Described(
    "portaria_crl_entries",
    "Certificates that a revocation list names.",
    &["listener", "list", "source"],
);
pub(super) const ANSWERS: Described = Described(
    "portaria_idempotency_records",
    "Operations in the store of idempotent answers.",
    &[],
);
pub(super) const DISPLACED_ANSWERS: Described = Described(
    "portaria_idempotency_displaced_records_total",
    "Operations that the store forgot before their time, because it was full.",
    &[],
);
pub(super) const ANSWER_FAILURES: Described = Described(
    "portaria_idempotency_store_failures_total",
    "Reads and writes of the store that failed.",
    &[],
);
pub(super) const LIST_FETCHES: Described = Described(
    "portaria_crl_fetches_total",
    "Fetches of revocation lists by distribution point and result.",
    &["point", "result"],
);
pub(super) const RELOADS: Described =
    Described("portaria_reloads_total", "Reloads of the configuration by result.", &["result"]);
pub(super) const CONFIGURED_AT: Described = Described(
    "portaria_configuration_timestamp_seconds",
    "When the configuration in force was loaded.",
    &[],
);
pub(super) const DROPPED_ACCESS_LINES: Described = Described(
    "portaria_access_log_dropped_lines_total",
    "Access-log lines dropped because the writer could not keep up.",
    &[],
);
pub(super) const DROPPED_LOG_LINES: Described = Described(
    "portaria_log_dropped_lines_total",
    "Lines of the application log dropped because the writer could not keep up.",
    &[],
);
pub(super) const BUILD: Described =
    Described("portaria_build_info", "Always 1.", &["version", "commit", "commit_date"]);
