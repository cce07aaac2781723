// The other strong in-house alternative: fastify and kafkajs, batched by hand.
//
// POST /inbound/demo takes an sms.received event and answers 200 once Kafka has acknowledged the record
// (acks=all). No signature is checked. PORT, BROKERS and ROUTES come from the environment, and IN_FLIGHT
// (how many batches are under way at once), LINGER_MS (how long the first record of a batch waits for
// others), IDEMPOTENT (0 or 1). kafkajs itself sends what it is given at once: without batches every
// text would be a request of its own. While a batch is under way the next one gathers: at 64 connections
// 36 texts, and with other settings the cost differed by less than the noise.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fastify from 'fastify'
import { Kafka, Partitioners, logLevel } from 'kafkajs'

const { PORT, BROKERS, ROUTES, IN_FLIGHT = '1', LINGER_MS = '0', IDEMPOTENT = '1' } = process.env
const BATCH_MAX = 1000

const routes = new Map(
  readFileSync(ROUTES, 'utf8').split('\n').filter(Boolean).map((line) => line.split(' ')),
)

const kafka = new Kafka({ clientId: 'peer', brokers: BROKERS.split(','), logLevel: logLevel.ERROR })
const producer = kafka.producer({
  idempotent: IDEMPOTENT === '1',
  createPartitioner: Partitioners.DefaultPartitioner,
  allowAutoTopicCreation: false,
})

// What waits for the next batch, and how many batches are under way.
let waiting = []
let underWay = 0
let timer = null

const publish = (topic, key, value) =>
  new Promise((resolve, reject) => {
    waiting.push({ topic, message: { key, value }, resolve, reject })
    if (waiting.length >= BATCH_MAX) flush()
    else timer ??= LINGER_MS === '0' ? setImmediate(flush) : setTimeout(flush, Number(LINGER_MS))
  })

function flush() {
  timer = null
  if (underWay >= Number(IN_FLIGHT) || waiting.length === 0) return
  const batch = waiting.splice(0, BATCH_MAX)
  underWay += 1
  sendBatch(batch).finally(() => {
    underWay -= 1
    flush()
  })
}

async function sendBatch(batch) {
  const byTopic = new Map()
  for (const { topic, message } of batch) {
    const messages = byTopic.get(topic)
    if (messages) messages.push(message)
    else byTopic.set(topic, [message])
  }
  const topicMessages = Array.from(byTopic, ([topic, messages]) => ({ topic, messages }))
  try {
    await producer.sendBatch({ acks: -1, topicMessages })
    for (const { resolve } of batch) resolve()
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}

const string = { type: 'string' }
const text = { type: 'object', required: ['id', 'from', 'to', 'text'], properties: { id: string, from: string, to: string, text: string } }
const body = {
  type: 'object',
  required: ['type', 'timestamp', 'data'],
  properties: { type: { const: 'sms.received' }, timestamp: string, data: text },
}

const app = fastify({ bodyLimit: 65536 })

app.post('/inbound/demo', { schema: { body } }, async (request, reply) => {
  const { timestamp, data } = request.body
  const trimmed = data.text.trim()
  const end = trimmed.indexOf(' ')
  const first = end < 0 ? trimmed : trimmed.slice(0, end)
  const keyword = first.toUpperCase()
  const topic = routes.get(keyword) ?? routes.get('*')
  // The same fields as sms-router's record, so about the same size.
  const value = JSON.stringify({
    schema_version: 1,
    id: randomUUID(),
    account: 'demo',
    carrier: 'generic',
    carrier_message_id: data.id,
    from: data.from,
    from_raw: data.from,
    to: data.to,
    to_raw: data.to,
    text: data.text,
    keyword,
    rest: trimmed.slice(first.length).trimStart(),
    department: topic,
    rule: { kind: 'word', match: keyword },
    routes_version: '000000000000',
    sent_at: timestamp,
    received_at: new Date().toISOString(),
  })
  await publish(topic, data.from, value)
  return reply.send()
})

await producer.connect()
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
