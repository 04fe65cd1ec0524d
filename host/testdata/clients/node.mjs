// Usage: node node.mjs URL CA SCENARIO CLIENT, CLIENT being https, http2, or the path of undici.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import http2 from 'node:http2'
import https from 'node:https'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'

const [url, caFile, scenario, kind] = process.argv.slice(2)
const ca = readFileSync(caFile)
const big = Buffer.from('0123456789abcdef'.repeat(65536))
const summed = `${big.length} ${createHash('sha256').update(big).digest('hex')}`
const pieces = () => Readable.from((function * () {
  for (let at = 0; at < big.length; at += 100000) yield big.subarray(at, at + 100000)
})())

// A client is request(path, method, body) -> {status, headers, body: async iterable, cancel()} and close().
function overHTTPS () {
  const agent = new https.Agent({ ca, keepAlive: true, maxSockets: 10 })
  return {
    async request (path, method = 'GET', body) {
      const r = https.request(url + path, { method, agent })
      if (body?.pipe) body.pipe(r)
      else r.end(body)
      const [answer] = await once(r, 'response')
      return { status: answer.statusCode, headers: answer.headers, body: answer, cancel: () => r.destroy() }
    },
    close: () => agent.destroy()
  }
}

function overHTTP2 () {
  const session = http2.connect(url, { ca })
  return {
    async request (path, method = 'GET', body) {
      const r = session.request({ ':path': path, ':method': method }, { endStream: body === undefined })
      if (body?.pipe) body.pipe(r)
      else if (body !== undefined) r.end(body)
      const [headers] = await once(r, 'response')
      return { status: headers[':status'], headers, body: r, cancel: () => r.close(http2.constants.NGHTTP2_CANCEL) }
    },
    close: () => session.close()
  }
}

function overUndici () {
  const { Agent, request } = createRequire(import.meta.url)(kind)
  const dispatcher = new Agent({ connect: { ca }, connections: scenario === 'reuse' ? 1 : 10 })
  return {
    async request (path, method = 'GET', body) {
      const abort = new AbortController()
      const r = await request(url + path, { dispatcher, method, body, signal: abort.signal })
      return { status: r.statusCode, headers: r.headers, body: r.body, cancel: () => { r.body.on('error', () => {}); abort.abort() } }
    },
    close: () => dispatcher.close()
  }
}

async function all (answer) {
  assert.equal(answer.status, 200)
  const parts = []
  for await (const part of answer.body) parts.push(part)
  return Buffer.concat(parts)
}

const client = { https: overHTTPS, http2: overHTTP2 }[kind]?.() ?? overUndici()
switch (scenario) {
  case 'bodies': {
    assert.match(String(await all(await client.request('/echo'))), /^GET 0 /)
    assert.equal(String(await all(await client.request('/echo', 'POST', big))), 'POST ' + summed)
    assert.equal(String(await all(await client.request('/echo', 'PUT', pieces()))), 'PUT ' + summed)
    assert.ok((await all(await client.request('/big'))).equals(big))
    const head = await client.request('/big', 'HEAD')
    await all(head)
    assert.equal(String(head.headers['content-length']), String(big.length))
    const many = await Promise.all(Array.from({ length: 10 }, () => client.request('/echo', 'POST', big).then(all)))
    for (const answer of many) assert.equal(String(answer), 'POST ' + summed)
    break
  }
  case 'events': {
    let n = 0
    for await (const part of (await client.request('/events')).body) {
      for (const line of String(part).split('\n').filter(Boolean)) {
        assert.equal(line, `data: ${n++}`)
        await all(await client.request('/seen'))
      }
    }
    assert.equal(n, 3)
    break
  }
  case 'cancel': {
    const answer = await client.request('/endless')
    const [first] = await once(answer.body, 'data')
    assert.equal(String(first), 'hello')
    answer.body.on('error', () => {})
    answer.cancel()
    break
  }
  case 'reuse':
    for (let i = 0; i < 20; i++) await all(await client.request('/echo'))
}
await client.close()
