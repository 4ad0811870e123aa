//! Throw-away certificates for TLS between a test and its broker, made by `openssl`.

use std::path::Path;
use std::process::Command;

/// Writes an authority (`ca.crt`, `ca.key`), a server certificate for localhost and 127.0.0.1 (`server.crt`, `server.key`),
/// and a client certificate (`client.crt`, `client.key`) of the same authority, valid for two days, keys in PKCS 8.
///
/// Called again in another folder it makes another authority, which the first one's servers refuse.
pub(crate) fn make(folder: &Path) {
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.expect("openssl can be run (apt-get install openssl)");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let write =
        |name: &str, content: &str| std::fs::write(folder.join(name), content).expect("the folder can be written");
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

    run(&format!("req -x509 {new_key} -days 2 -subj /CN=test-authority -keyout ca.key -out ca.crt"));
    write("server.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n");
    write("client.ext", "extendedKeyUsage=clientAuth\n");
    for who in ["server", "client"] {
        run(&format!("req {new_key} -subj /CN=test-{who} -keyout {who}.key -out {who}.csr"));
        run(&format!(
            "x509 -req -in {who}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {who}.ext -out {who}.crt"
        ));
    }
}
