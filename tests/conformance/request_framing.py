"""How long a request body is: Content-Length and Transfer-Encoding (RFC 9112 6)."""
from .notation import ORIGIN, URL, Broken, RequestCase, bad, get, good, head, onward, post

# What a proxy that takes the other reading would serve next.
SMUGGLED = f"0\r\n\r\nGET {URL}/smuggled HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"


def te(value):
    return post("Transfer-Encoding:" + value, body=SMUGGLED)


def cl(value):
    return post("Content-Length:" + value, body="hello")


def post_line(*fields, body="", **more):
    return onward("POST / HTTP/1.1", *fields, body=body, **more)


TITLE = "Request framing"
CASES = [
    good("no-body", "9112 6.3", post(), post_line()),
    good("length-0", "9112 6.3", post("Content-Length: 0"), post_line(length=0)),
    good("length-5", "9112 6.3", post("Content-Length: 5", body="hello"), post_line(length=5, body="hello")),
    good("length-5-in-octets", "9112 6.3", post("Content-Length: 5", body="hello"), post_line(length=5, body="hello"), cut=1),
    good("length-tab", "9112 5", post("Content-Length:\t5", body="hello"), post_line(length=5, body="hello")),
    good("length-other-case", "9110 5.1", post("cONTENT-lENGTH: 5", body="hello"), post_line(length=5, body="hello")),
    good("get-with-a-body", "9110 9.3.1", get("Content-Length: 5") + "hello", onward(length=5, body="hello")),
    good("get-with-chunks", "9110 9.3.1", get("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\n",
         onward(chunked=True, body="hello")),
    good("delete-with-a-body", "9110 9.3.5", get("Content-Length: 5", method="DELETE") + "hello",
         onward("DELETE / HTTP/1.1", length=5, body="hello")),
    good("length-in-1.0", "9112 6.3", post("Content-Length: 5", body="hello", version="HTTP/1.0"),
         post_line(length=5, body="hello", minor=0), ends=True),
    good("body-looks-like-a-request", "9112 6.3", post("Content-Length: 40", body="GET http://evil.example/ HTTP/1.1\r\nX: y\r\n"[:40]),
         post_line(length=40, body="GET http://evil.example/ HTTP/1.1\r\nX: y\r\n"[:40])),
    good("no-length-and-a-request-behind", "9112 6.3", post() + get(url=URL + "/2"), post_line(), onward("GET /2 HTTP/1.1")),
    *(bad(f"length-{name}", "9112 6.3", cl(value), "bad-content-length")
      for name, value in (("plus", " +5"), ("minus", " -5"), ("minus-0", " -0"), ("hex", " 0x5"), ("hex-digits", " a"),
                          ("octal-zero", " 05"), ("zeros", " 00"), ("float", " 5.0"), ("exponent", " 5e0"), ("list", " 5, 5"),
                          ("list-of-two", " 5, 6"), ("list-without-space", " 5,5"), ("comma-behind", " 5,"), ("comma-before", " ,5"),
                          ("space-within", " 5 5"), ("tab-within", " 5\t0"), ("semicolon", " 5;"), ("quoted", ' "5"'), ("empty", ""),
                          ("only-space", "   "), ("letters", " five"), ("underscore", " 1_0"), ("20-digits", " 18446744073709551621"),
                          ("21-digits", " 100000000000000000005"), ("19-digits", " 9223372036854775807"), ("nbsp", "\xa05"),
                          ("fullwidth", " \xef\xbc\x95"), ("superscript", " \xb2"), ("latin-1-behind", " 5\xa0"))),
    bad("length-nul", "9110 5.5", cl(" 5\0"), "bad-character"),
    bad("length-vertical-tab", "9110 5.5", cl(" \x0b5"), "bad-character"),
    bad("length-space-before-colon", "9112 5.1", post("Content-Length : 5", body="hello"), "bad-field"),
    bad("length-twice-the-same", "9112 6.3", post("Content-Length: 5", "Content-Length: 5", body="hello"), "bad-content-length"),
    bad("length-twice-another", "9112 6.3", post("Content-Length: 5", "Content-Length: 6", body="hello!"), "bad-content-length"),
    bad("length-twice-far-apart", "9112 6.3", post("Content-Length: 0", *["X: y"] * 50, "content-length: 5", body="hello"),
        "bad-content-length"),
    bad("length-twice-with-0", "9112 6.3", post("Content-Length: 0", "Content-Length: 5", body="hello"), "bad-content-length"),
    bad("length-with-0-to-connect-like", "9110 9.3.1", get("Content-Length: 5", "Content-Length: 0") + "hello", "bad-content-length"),
    bad("length-folded", "9112 5.2", post("Content-Length:", " 5", body="hello"), "obs-fold"),
    RequestCase("length-longer-than-the-body", "9112 6.3", post("Content-Length: 6", body="hello"),
                [Broken(post_line(length=6, body="hello"), "client-closed", answered=False)], ends=True, finish=True),
    RequestCase("length-of-18-digits", "9112 6.3", post("Content-Length: 999999999999999999", body="hello"),
                [Broken(post_line(length=999999999999999999, body="hello"), "client-closed", answered=False)], ends=True, finish=True),

    bad("cl-te", "9112 6.3", post("Content-Length: 5", "Transfer-Encoding: chunked", body=SMUGGLED), "length-conflict"),
    bad("te-cl", "9112 6.3", post("Transfer-Encoding: chunked", "Content-Length: 5", body=SMUGGLED), "length-conflict"),
    bad("cl-0-te", "9112 6.3", post("Content-Length: 0", "Transfer-Encoding: chunked", body=SMUGGLED), "length-conflict"),
    bad("cl-te-get", "9112 6.3", get("Content-Length: 5", "Transfer-Encoding: chunked") + SMUGGLED, "length-conflict"),
    bad("cl-te-nominated", "9112 6.3", post("Connection: Transfer-Encoding", "Content-Length: 5", "Transfer-Encoding: chunked",
                                            body=SMUGGLED), "length-conflict"),
    bad("cl-te-in-1.0", "9112 6.3", post("Content-Length: 5", "Transfer-Encoding: chunked", body=SMUGGLED, version="HTTP/1.0"),
        "bad-transfer-encoding"),
    bad("cl-te-identity", "9112 6.1", post("Content-Length: 5", "Transfer-Encoding: identity", body="hello"), "bad-transfer-encoding"),
    bad("te-in-1.0", "9112 6.1", te(" chunked").replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost", 1), "bad-transfer-encoding"),
    *(bad(f"te-{name}", "9112 6.1", te(value), "bad-transfer-encoding")
      for name, value in (("identity", " identity"), ("gzip", " gzip"), ("gzip-chunked", " gzip, chunked"),
                          ("chunked-gzip", " chunked, gzip"), ("chunked-identity", " chunked, identity"),
                          ("identity-chunked", " identity, chunked"), ("chunked-chunked", " chunked, chunked"),
                          ("xchunked", " xchunked"), ("chunkedx", " chunkedx"), ("chunke", " chunke"), ("quoted", ' "chunked"'),
                          ("single-quoted", " 'chunked'"), ("parameter", " chunked;q=1"), ("semicolon", " chunked;"),
                          ("comma-behind", " chunked,"), ("comma-before", " ,chunked"), ("empty", ""), ("space-within", " chun ked"),
                          ("nbsp-behind", " chunked\xa0"), ("nbsp-before", " \xa0chunked"), ("utf-8-k", " chun\xe2\x84\xaaed"),
                          ("latin-1", " chunked\xff"), ("colon", " :chunked"), ("equals", " =chunked"), ("cow", " cow"),
                          ("tab-within", " chunked\tx"))),
    *(bad(f"te-{name}", "9110 5.5", te(value), "bad-character")
      for name, value in (("nul-behind", " chunked\0"), ("nul-before", " \0chunked"), ("vertical-tab", "\x0bchunked"),
                          ("form-feed", "\x0cchunked"), ("delete", " chunked\x7f"), ("backspace", " x\x08chunked"))),
    bad("te-twice", "9112 6.1", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=SMUGGLED), "bad-transfer-encoding"),
    bad("te-twice-identity-last", "9112 6.1", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=SMUGGLED),
        "bad-transfer-encoding"),
    bad("te-twice-identity-first", "9112 6.1", post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=SMUGGLED),
        "bad-transfer-encoding"),
    bad("te-twice-empty-first", "9112 6.1", post("Transfer-Encoding:", "Transfer-Encoding: chunked", body=SMUGGLED),
        "bad-transfer-encoding"),
    bad("te-space-before-colon", "9112 5.1", post("Transfer-Encoding : chunked", body=SMUGGLED), "bad-field"),
    bad("te-tab-before-colon", "9112 5.1", post("Transfer-Encoding\t: chunked", body=SMUGGLED), "bad-field"),
    bad("te-space-before-name", "9112 5.2", post("X: y", " Transfer-Encoding: chunked", body=SMUGGLED), "obs-fold"),
    bad("te-folded", "9112 5.2", post("Transfer-Encoding:", " chunked", body=SMUGGLED), "obs-fold"),
    bad("te-folded-behind", "9112 5.2", post("Transfer-Encoding: chunked", " ,identity", body=SMUGGLED), "obs-fold"),
    bad("te-behind-bare-cr", "9112 2.2", post("X: y\rTransfer-Encoding: chunked", body=SMUGGLED), "bad-line-ending"),
    bad("te-behind-bare-lf", "9112 2.2", post("X: y\nTransfer-Encoding: chunked", body=SMUGGLED), "bad-line-ending"),
    bad("te-behind-cr-cr-lf", "9112 2.2", post("X: y\r", "Transfer-Encoding: chunked", body=SMUGGLED), "bad-line-ending"),
    bad("te-name-with-nul", "9110 5.5", post("Transfer-Encoding\0: chunked", body=SMUGGLED), "bad-character"),
    bad("te-name-with-latin-1", "9110 5.6.2", post("Transfer-Encoding\xa0: chunked", body=SMUGGLED), "bad-field"),
    bad("te-in-the-target", "9112 3", head(f"POST {URL}/ HTTP/1.1 Transfer-Encoding: chunked", f"Host: {ORIGIN}") + SMUGGLED,
        "bad-request-line"),
    good("te-underscore-is-another-field", "9110 5.1", post("Transfer_Encoding: chunked"), post_line("Transfer_Encoding: chunked")),
    good("te-other-case", "9110 5.1", post("tRANSFER-eNCODING: CHUNKED", body="5\r\nhello\r\n0\r\n\r\n"),
         post_line(chunked=True, body="hello")),
]
