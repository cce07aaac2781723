// A department's texts become tickets, each once: node tickets.js BROKERS TOPIC GROUP FILE
//
// A text may come twice and the program may be killed at any time. So a ticket is on disk, under its ce_id,
// before the offset is committed, and a text whose ticket is there is left alone. The file of one JSON line
// a ticket stands for a table with a unique column; it wants one program at a time.
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { Kafka, logLevel } from 'kafkajs'

const [brokers, topic, groupId, file] = process.argv.slice(2)

// Those of before; a line that a crash cut off is no ticket.
const written = existsSync(file) ? readFileSync(file) : Buffer.alloc(0)
const whole = written.subarray(0, written.lastIndexOf('\n') + 1)
if (whole.length < written.length) truncateSync(file, whole.length)
const known = new Set(whole.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line).ce_id))
const tickets = openSync(file, 'a')

// Your work, and the note that it is done. False if it was done before.
function work(ceId, record) {
  if (known.has(ceId)) return false
  const { received_at, from, text } = record
  writeSync(tickets, JSON.stringify({ ce_id: ceId, received_at, from, text }) + '\n')
  fdatasyncSync(tickets)
  known.add(ceId)
  return true
}

const kafka = new Kafka({ clientId: 'tickets', brokers: brokers.split(','), logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000 }) // after a crash the next begins within 10 s
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true }) // a new group begins with the oldest text
await consumer.run({
  autoCommit: false, // we say when a text is done with
  eachMessage: async ({ partition, message }) => {
    const ceId = message.headers.ce_id.toString()
    const ceType = message.headers.ce_type.toString()
    if (!ceType.endsWith('.v1')) {
      console.error(`${ceType} is newer than this program`)
      process.exit(1) // not committed, so nothing is skipped
    }
    if (/\.message\.(received|addendum)\.v1$/.test(ceType)) {
      console.log(work(ceId, JSON.parse(message.value)) ? 'new' : 'known', ceId)
    }
    const next = (BigInt(message.offset) + 1n).toString()
    await consumer.commitOffsets([{ topic, partition, offset: next }]) // after the work, never before
  },
})

process.on('SIGTERM', async () => {
  await consumer.disconnect() // leave the group properly
  closeSync(tickets)
})
