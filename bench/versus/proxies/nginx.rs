//! nginx: it passes mTLS through and knows no policy. It is the backend, too.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use portaria::lab::Result;

use crate::process::{Running, pinned};
use crate::setting::{LARGE_FILE, Setting};
use crate::target::{LARGE, POST};

pub(crate) const PROGRAM: &str = "nginx";
const ANSWER: &str = r#"{"data":[{"brand":"Seguradora Exemplo","companies":[{"companyName":"Seguradora Exemplo S.A.","cnpjNumber":"11222333000181","policies":[{"productName":"Auto","policyId":"111111"}]}]}],"links":{"self":"https://api.portaria-lab.example/open-insurance/insurance-auto/v2/insurance-auto"},"meta":{"totalRecords":1,"totalPages":1}}"#;

/// Starts the backend on the load's core.
pub(crate) fn run_backend(at: &Path, address: SocketAddr) -> Result<Running> {
    let conf = at.join("backend.conf");
    std::fs::write(&conf, backend(at, address))?;
    Ok(Running(command(pinned(1, PROGRAM), &conf).spawn()?))
}

fn command(mut command: Command, conf: &Path) -> Command {
    command.arg("-c").arg(conf).args(["-e", "/dev/null"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The proxy.
pub(super) fn proxy(setting: &Setting, address: SocketAddr, program: Command) -> Result<Command> {
    let conf = setting.path("nginx.conf");
    std::fs::write(&conf, passing(setting, address))?;
    Ok(command(program, &conf))
}

fn common(at: &Path, name: &str) -> String {
    let at = at.display();
    format!(
        "worker_processes 1; daemon off; error_log /dev/null; pid {at}/{name}.pid;\n\
         worker_rlimit_nofile 16384; events {{ worker_connections 12000; }}\n"
    )
}

fn backend(at: &Path, address: SocketAddr) -> String {
    format!(
        "{}http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;\n\
         default_type application/json; open_file_cache max=8; sendfile on; tcp_nopush on;\n\
         server {{ listen {address} backlog=4096;\n\
         location / {{ return 200 '{ANSWER}'; }}\n\
         location = {POST} {{ return 201 '{ANSWER}'; }}\n\
         location = {LARGE} {{ alias {}/{LARGE_FILE}; }} }} }}\n",
        common(at, "backend"),
        at.display(),
    )
}

/// Its default buffers are 64 KiB in all: a long answer would go through a file, and flatter everybody else.
fn passing(setting: &Setting, address: SocketAddr) -> String {
    let (pki, backend) = (setting.directory().display(), setting.backend);
    format!(
        "{}http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;\n\
         client_body_temp_path {pki}/body; proxy_temp_path {pki}/proxy;\n\
         upstream legacy {{ server {backend}; keepalive 512; keepalive_requests 100000000; }}\n\
         server {{ listen {address} ssl http2;\n\
         ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;\n\
         ssl_client_certificate {pki}/root.pem; ssl_verify_client on; ssl_verify_depth 3;\n\
         ssl_session_tickets off; ssl_session_cache off; ssl_protocols TLSv1.2 TLSv1.3;\n\
         location / {{ proxy_pass http://legacy; proxy_http_version 1.1;\n\
         proxy_buffers 8 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;\n\
         proxy_set_header Connection \"\"; }} }} }}\n",
        common(setting.directory(), "nginx")
    )
}
