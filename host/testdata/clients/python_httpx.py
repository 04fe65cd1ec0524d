# Usage: python_httpx.py URL CA SCENARIO VERSION, VERSION being 1 or 2.
import asyncio
import hashlib
import ssl
import sys

import httpx

url, ca, scenario, version = sys.argv[1:]
client = httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca), http1=version == "1", http2=version == "2", timeout=60)
big = b"0123456789abcdef" * 65536
summed = f"{len(big)} {hashlib.sha256(big).hexdigest()}"


async def pieces():
    for at in range(0, len(big), 100000):
        yield big[at:at + 100000]


def expect(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


async def main():
    if scenario == "bodies":
        answer = await client.get(url + "/echo")
        expect((answer.http_version, answer.text.split()[:2]), ("HTTP/2" if version == "2" else "HTTP/1.1", ["GET", "0"]))
        expect((await client.post(url + "/echo", content=big)).text, "POST " + summed)
        expect((await client.put(url + "/echo", content=pieces())).text, "PUT " + summed)
        expect((await client.get(url + "/big")).content, big)
        expect((await client.head(url + "/big")).headers["content-length"], str(len(big)))
        answers = await asyncio.gather(*(client.post(url + "/echo", content=big) for _ in range(10)))
        expect({a.text for a in answers}, {"POST " + summed})
    elif scenario == "events":
        async with client.stream("GET", url + "/events") as answer:
            n = 0
            async for line in answer.aiter_lines():
                if line:
                    expect(line, f"data: {n}")
                    n += 1
                    (await client.get(url + "/seen")).raise_for_status()
            expect(n, 3)
    elif scenario == "cancel":
        async with client.stream("GET", url + "/endless") as answer:
            expect(await anext(answer.aiter_bytes(5)), b"hello")
    elif scenario == "reuse":
        for _ in range(20):
            expect((await client.get(url + "/echo")).status_code, 200)
    await client.aclose()


asyncio.run(main())
