# Usage: python_requests.py URL CA SCENARIO, for HTTP/1.1 with requests.
import hashlib
import sys

import requests

url, ca, scenario = sys.argv[1:]
session = requests.Session()
session.verify, session.trust_env = ca, False  # an environment's authorities would win
big = b"0123456789abcdef" * 65536


def pieces():
    for at in range(0, len(big), 100000):
        yield big[at:at + 100000]


def expect(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


summed = f"{len(big)} {hashlib.sha256(big).hexdigest()}"
if scenario == "bodies":
    expect(session.get(url + "/echo").text.split()[:2], ["GET", "0"])
    expect(session.post(url + "/echo", data=big).text, "POST " + summed)
    expect(session.put(url + "/echo", data=pieces()).text, "PUT " + summed)
    expect(session.get(url + "/big").content, big)
    expect(session.head(url + "/big").headers["content-length"], str(len(big)))
elif scenario == "events":
    other = requests.Session()
    other.verify, other.trust_env = ca, False
    with session.get(url + "/events", stream=True) as answer:
        for n, line in enumerate(l for l in answer.iter_lines(chunk_size=1) if l):
            expect(line, b"data: %d" % n)
            other.get(url + "/seen").raise_for_status()
        expect(n, 2)
elif scenario == "cancel":
    answer = session.get(url + "/endless", stream=True)
    expect(next(answer.iter_content(5)), b"hello")
    answer.close()
elif scenario == "reuse":
    for _ in range(20):
        expect(session.get(url + "/echo").status_code, 200)
