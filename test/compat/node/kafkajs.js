// The kafkajs suite. Environment and report lines as in ../python/suite.py.
'use strict'

const fs = require('fs')
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel,
  PartitionAssigners } = require('kafkajs')
const snappy = require('snappyjs')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32.js')
const zstd = require('@bokuweb/zstd-wasm')

const { BOOTSTRAP, FIXTURE, FOREIGN, PREFIX } = process.env
const essentialOnly = process.env.ESSENTIAL === '1'

// kafkajs brings gzip only; Kafka's snappy is framed as snappy-java does it.
const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async encoder => Buffer.from(snappy.compress(encoder.buffer)),
  decompress: async buffer => {
    if (!buffer.subarray(0, 8).equals(xerial)) return Buffer.from(snappy.uncompress(buffer))
    const out = []
    for (let at = 16; at < buffer.length;) {
      const n = buffer.readInt32BE(at)
      out.push(Buffer.from(snappy.uncompress(buffer.subarray(at + 4, at + 4 + n))))
      at += 4 + n
    }
    return Buffer.concat(out)
  },
})

// Kafka takes only LZ4 frames with independent blocks, which lz4js itself does not write.
function lz4Frame (src) {
  const descriptor = Buffer.from([0x60, 0x40]) // version 1, independent blocks of 64 KiB
  const head = Buffer.from([0x04, 0x22, 0x4d, 0x18, ...descriptor,
    (xxh32.hash(0, descriptor, 0, 2) >>> 8) & 0xff])
  const out = [head]
  for (let at = 0; at < src.length; at += 65536) {
    const block = src.subarray(at, at + 65536)
    const dst = Buffer.alloc(lz4.compressBound(block.length) + 64)
    const n = lz4.compressBlock(block, dst, 0, block.length, new Uint32Array(65536))
    const packed = n > 0 && n < block.length
    const size = Buffer.alloc(4)
    size.writeUInt32LE(packed ? n : (0x80000000 | block.length) >>> 0)
    out.push(size, packed ? dst.subarray(0, n) : block)
  }
  out.push(Buffer.alloc(4))
  return Buffer.concat(out)
}

CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async encoder => lz4Frame(encoder.buffer),
  decompress: async buffer => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async buffer => Buffer.from(zstd.decompress(buffer)),
})

const types = {
  none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD,
}
const codecs = Object.keys(types)

const kafka = new Kafka({
  clientId: 'compat', brokers: [BOOTSTRAP], logLevel: logLevel.ERROR, retry: { retries: 8 },
  logCreator: () => ({ log, label, namespace }) =>
    console.error(label, namespace, log.message, log.error || ''),
})

const raw = JSON.parse(fs.readFileSync(FIXTURE))
const bytes = text => (text === null ? null : Buffer.from(text, 'base64'))
const records = raw.records.map(r => ({
  partition: r.p, key: bytes(r.k), value: bytes(r.v), timestamp: String(r.t),
  headers: Object.fromEntries(r.h.map(([name, value]) => [name, bytes(value)])),
}))

function fail (text) { throw new Error(text) }
function equal (got, want, what) {
  const a = JSON.stringify(got)
  const b = JSON.stringify(want)
  if (a !== b) fail(`${what}: got ${a.slice(0, 160)}, want ${b.slice(0, 160)}`)
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function eventually (what, ok, limit = 30000) {
  const end = Date.now() + limit
  for (;;) {
    const value = await ok()
    if (value) return value
    if (Date.now() > end) fail(`not within ${limit / 1000} s: ${what}`)
    await sleep(100)
  }
}

function same (a, b) {
  if (a === null || b === null) return a === b
  return Buffer.compare(a, b) === 0
}

function compare (want, got) {
  for (let p = 0; p < raw.partitions; p++) {
    const w = want.filter(r => r.partition === p)
    const g = got.filter(r => r.partition === p)
    equal(g.length, w.length, `records of partition ${p}`)
    w.forEach((a, i) => {
      const b = g[i]
      const where = `partition ${p} record ${i}`
      if (!same(a.key, b.key)) fail(`${where}: key ${b.key}`)
      if (!same(a.value, b.value)) fail(`${where}: value of ${b.value && b.value.length} bytes`)
      equal(b.timestamp, a.timestamp, `${where}: timestamp`)
      equal(Object.keys(b.headers), Object.keys(a.headers), `${where}: header names`)
      for (const h of Object.keys(a.headers)) {
        if (!same(a.headers[h], b.headers[h])) fail(`${where}: header ${h}`)
      }
    })
  }
}

async function withAdmin (fn) {
  const admin = kafka.admin()
  await admin.connect()
  try { return await fn(admin) } finally { await admin.disconnect() }
}

async function send (messages, topic, options = {}) {
  const producer = kafka.producer(options.producer || {})
  await producer.connect()
  try {
    await producer.send({ topic, messages, acks: -1, compression: options.compression })
  } finally { await producer.disconnect() }
}

let groups = 0

// consume reads with a group until done(messages) says so; commits are left to the caller.
async function consume (topic, done, { group, onConsumer, fromBeginning = true } = {}) {
  const consumer = kafka.consumer({
    groupId: group || `${PREFIX}-read-${++groups}`, sessionTimeout: 10000,
    heartbeatInterval: 500, rebalanceTimeout: 10000, maxWaitTimeInMs: 200,
  })
  await consumer.connect()
  const got = []
  let resolve
  const finished = new Promise(_resolve => { resolve = _resolve })
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning })
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (done(got)) return
        got.push({ ...message, partition })
        if (done(got)) resolve()
      },
    })
    if (onConsumer) await onConsumer(consumer)
    await Promise.race([finished, sleep(30000).then(() => fail(`${topic}: ${got.length} records in 30 s`))])
    return { got, consumer }
  } catch (e) {
    await consumer.disconnect()
    throw e
  }
}

async function readAll (topic, n) {
  const { got, consumer } = await consume(topic, g => g.length >= n)
  await consumer.disconnect()
  return got
}

async function codec (name) {
  const topic = `${PREFIX}.${name}`
  for (let p = 0; p < raw.partitions; p++) { // one request stays below the broker's limit
    await send(records.filter(r => r.partition === p), topic, { compression: types[name] })
  }
  compare(records, await readAll(topic, records.length))
}

async function foreign (name) {
  compare(records, await readAll(FOREIGN + name, records.length))
}

async function rebalance () {
  const topic = `${PREFIX}.balance`
  const seen = new Set()
  const written = []
  const all = JSON.stringify([0, 1, 2, 3, 4, 5])
  const join = async () => {
    const consumer = kafka.consumer({
      groupId: `${PREFIX}-balance`, sessionTimeout: 10000, heartbeatInterval: 500,
      rebalanceTimeout: 10000, maxWaitTimeInMs: 200,
      partitionAssigners: [PartitionAssigners.roundRobin],
    })
    const member = { consumer, parts: [] }
    consumer.on(consumer.events.GROUP_JOIN, e => {
      member.parts = Object.values(e.payload.memberAssignment).flat().sort()
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({ eachMessage: async ({ message }) => { seen.add(String(message.value)) } })
    return member
  }
  const write = async round => {
    const messages = Array.from({ length: 300 }, (_, i) =>
      ({ partition: i % 6, value: `${round}-${i}` }))
    await send(messages, topic)
    written.push(...messages.map(m => m.value))
  }
  const nothingLost = () => written.every(v => seen.has(v))
  const a = await join()
  let b
  try {
    await eventually('the only member owns everything', () => JSON.stringify(a.parts) === all)
    await write(0)
    b = await join()
    await eventually('two members share the partitions', () =>
      a.parts.length === 3 && b.parts.length === 3 &&
      JSON.stringify([...a.parts, ...b.parts].sort()) === all)
    await write(1)
    await eventually('both rounds are read', nothingLost)
    await b.consumer.disconnect()
    b = undefined
    await eventually('the one that stays owns everything', () => JSON.stringify(a.parts) === all)
    await write(2)
    await eventually('nothing is lost', nothingLost)
  } finally {
    if (b) await b.consumer.disconnect()
    await a.consumer.disconnect()
  }
}

async function resume () {
  const topic = `${PREFIX}.resume`
  const group = `${PREFIX}-resume`
  const values = Array.from({ length: 100 }, (_, i) => String(i))
  await send(values.map(value => ({ partition: 0, value })), topic)
  const first = await consume(topic, g => g.length >= 40, { group })
  await first.consumer.commitOffsets([{ topic, partition: 0, offset: '40', metadata: 'halfway' }])
  await first.consumer.disconnect()
  const kept = await withAdmin(a => a.fetchOffsets({ groupId: group, topics: [topic] }))
  equal([kept[0].partitions[0].offset, kept[0].partitions[0].metadata], ['40', 'halfway'],
    'committed offset')
  const second = await consume(topic, g => g.length >= 60, { group })
  await second.consumer.disconnect()
  equal([...first.got, ...second.got].map(m => String(m.value)), values, 'values')
}

async function offsets () {
  const topic = `${PREFIX}.offsets`
  const base = Date.now() - 60000
  await send(Array.from({ length: 100 }, (_, i) =>
    ({ partition: 0, value: String(i), timestamp: String(base + 10 * i) })), topic)
  await withAdmin(async a => {
    const [all] = await a.fetchTopicOffsets(topic)
    equal([all.low, all.high], ['0', '100'], 'earliest and latest')
    const [found] = await a.fetchTopicOffsetsByTimestamp(topic, base + 495)
    equal(found.offset, '50', 'offset by time')
  })
  const { got, consumer } = await consume(topic, g => g.some(m => m.offset === '99'), {
    onConsumer: async c => c.seek({ topic, partition: 0, offset: '70' }),
  })
  await consumer.disconnect()
  const last = got.slice(got.map(m => m.offset).lastIndexOf('70'))
  equal(last.map(m => String(m.value)), Array.from({ length: 30 }, (_, i) => String(70 + i)),
    'records after a seek')
}

async function idempotent () {
  const topic = `${PREFIX}.idempotent`
  const messages = Array.from({ length: 1000 }, (_, i) => ({ partition: i % 3, value: String(i) }))
  await send(messages, topic, { producer: { idempotent: true, maxInFlightRequests: 1 } })
  const got = await readAll(topic, 1000)
  for (let p = 0; p < 3; p++) {
    equal(got.filter(m => m.partition === p).map(m => String(m.value)),
      messages.filter(m => m.partition === p).map(m => m.value), `partition ${p}`)
  }
}

async function admin () {
  const topic = `${PREFIX}.admin`
  const group = `${PREFIX}-admin`
  await withAdmin(async a => {
    await a.createTopics({
      waitForLeaders: true,
      topics: [{
        topic, numPartitions: 2, replicationFactor: 1,
        configEntries: [{ name: 'retention.ms', value: '7200000' }],
      }],
    })
    await eventually('the topic is listed', async () => (await a.listTopics()).includes(topic))
    const value = async () => {
      const { resources } = await a.describeConfigs({
        includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
      })
      return resources[0].configEntries.find(e => e.configName === 'retention.ms').configValue
    }
    equal(await value(), '7200000', 'retention.ms as created')
    await a.alterConfigs({
      resources: [{
        type: ConfigResourceTypes.TOPIC, name: topic,
        configEntries: [{ name: 'retention.ms', value: '3600000' }],
      }],
    })
    await eventually('retention.ms altered', async () => (await value()) === '3600000')
    await a.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    await eventually('four partitions', async () =>
      (await a.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 4)
    await send(Array.from({ length: 40 }, (_, i) => ({ partition: i % 4, value: String(i) })), topic)
    const { consumer } = await consume(topic, g => g.length >= 40, { group })
    await consumer.commitOffsets([0, 1, 2, 3].map(partition => ({ topic, partition, offset: '10' })))
    const described = await a.describeGroups([group])
    equal([described.groups[0].state, described.groups[0].members.length], ['Stable', 1],
      'described group')
    await consumer.disconnect()
    if (!(await a.listGroups()).groups.some(g => g.groupId === group)) fail('group not listed')
    await a.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '3' }] })
    const kept = await a.fetchOffsets({ groupId: group, topics: [topic] })
    equal(kept[0].partitions.sort((x, y) => x.partition - y.partition).map(p => p.offset),
      ['3', '10', '10', '10'], 'offsets of the group')
    await a.deleteGroups([group])
    await eventually('the group is gone', async () =>
      !(await a.listGroups()).groups.some(g => g.groupId === group))
    const cluster = await a.describeCluster()
    if (!cluster.clusterId || cluster.brokers.length < 1) fail(JSON.stringify(cluster))
    await a.deleteTopics({ topics: [topic] })
    await eventually('the topic is gone', async () => !(await a.listTopics()).includes(topic))
  })
}

let failed = 0

async function test (name, fn, essential = true) {
  if (essentialOnly && !essential) return
  const start = Date.now()
  try {
    await Promise.race([fn(), sleep(90000).then(() => fail('not done within 90 s'))])
    console.log(`CASE\t${name}\tPASS\t`)
  } catch (e) {
    failed++
    console.error(e)
    console.log(`CASE\t${name}\tFAIL\t${String(e).replace(/[\n\t]/g, ' ').slice(0, 400)}`)
  }
  console.error(`${name}: ${(Date.now() - start) / 1000} s`)
}

async function main () {
  console.log(`VERSION\t${require('kafkajs/package.json').version}`)
  await zstd.init()
  for (const c of codecs) await test(`codec ${c}`, () => codec(c))
  for (const c of codecs) await test(`foreign ${c}`, () => foreign(c))
  await test('rebalance', rebalance)
  await test('resume', resume)
  await test('offsets', offsets)
  await test('idempotent', idempotent)
  await test('admin', admin)
  process.exit(failed ? 1 : 0)
}

main()
