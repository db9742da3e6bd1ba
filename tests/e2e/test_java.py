"""Java's HttpClient, which cannot send proxy credentials on CONNECT and needs none here."""
import shutil
import subprocess

import pytest

from harness.origin import http_handler, response
from harness.proxy import loopback, policy_of

SOURCE = """
import java.net.*;
import java.net.http.*;
import java.net.http.HttpResponse.BodyHandlers;

public class Fetch {
  public static void main(String[] args) throws Exception {
    var proxy = ProxySelector.of(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
    var client = HttpClient.newBuilder().proxy(proxy).build();
    for (int i = 1; i < args.length; ++i) {
      try {
        var response = client.send(HttpRequest.newBuilder(URI.create(args[i])).build(), BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.body().trim());
      } catch (Exception e) {
        System.out.println("failed: " + e.getClass().getSimpleName() + ": " + e.getMessage());
      }
    }
  }
}
"""


@pytest.mark.skipif(not shutil.which("java") or not shutil.which("keytool"), reason="no JDK on this machine")
def test_java_http_client(exeat, run, ca, origin, tmp_path):
    server = origin(http_handler(lambda request: response("hello\n")), ca.server_context("origin.corp.example"))
    proxy = exeat(policy_of(agent=[{"host": "origin.corp.example", "ports": [server.port]}], addresses=[loopback()]))
    (tmp_path / "Fetch.java").write_text(SOURCE)
    store = tmp_path / "trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", ca.bundle, "-keystore", store,
                    "-storepass", "changeit", "-storetype", "PKCS12"], check=True, capture_output=True)
    done = run("java", f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit",
               "Fetch.java", proxy.ports["agent"], f"https://origin.corp.example:{server.port}/",
               f"https://denied.corp.example:{server.port}/", timeout=300)
    allowed, denied = done.stdout.splitlines()
    assert allowed == "200 hello", done.stderr
    # The JDK hands a refused CONNECT to the caller as a response, or as an exception that carries the status.
    assert "403" in denied, done.stdout
    assert proxy.logged(host="denied.corp.example")["reason"] == "no-rule"
