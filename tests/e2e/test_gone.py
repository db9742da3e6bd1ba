"""Clients that are gone: what they had asked for in advance keeps no place of the proxy."""
import threading

from harness.client import eventually
from harness.origin import Origin
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
REFUSED = b"GET http://denied.example/ HTTP/1.1\r\nHost: denied.example\r\n\r\n"


def test_requests_behind_one_another_of_a_client_that_is_gone_are_given_up(exeat):
    """Found by fuzz_session. Of a socket whose peer is gone, the third write in a row waits for an edge that does not
    come: each request that was sent in advance held the connection for all of timeouts.idle."""
    gone = threading.Event()

    def silent(connection):
        connection.read_until(b"\r\n\r\n")
        gone.wait(60)  # and closes without an answer

    server = Origin(silent)
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]),
                  {"timeouts": {"idle": "20s"}})
    client = proxy.client()
    target = f"{HOST}:{server.port}"
    client.send(f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + 100 * REFUSED)
    assert eventually(lambda: server.received)
    client.reset()
    gone.set()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0, 15)
    assert len(proxy.log(reason="no-rule")) < 5
    server.close()
