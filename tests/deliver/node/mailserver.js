// A mail server by other hands (npm's smtp-server): STARTTLS, then a password, then mails. Each mail is a line of JSON on
// standard output before it is answered for.
import { readFileSync, writeSync } from "node:fs";
import { SMTPServer } from "smtp-server";

const [port, certificate, key, user, password] = process.argv.slice(2);
const say = (what) => writeSync(1, JSON.stringify(what) + "\n");

const server = new SMTPServer({
  cert: readFileSync(certificate),
  key: readFileSync(key),
  authMethods: ["PLAIN", "LOGIN"],
  onAuth(auth, session, done) {
    const isRight = session.secure && auth.username === user && auth.password === password;
    done(isRight ? null : new Error("no"), { user: auth.username });
  },
  onData(stream, session, done) {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => {
      const { mailFrom, rcptTo } = session.envelope;
      const raw = Buffer.concat(pieces).toString("base64");
      say({ from: mailFrom.address, to: rcptTo.map((each) => each.address), raw });
      done();
    });
  },
});
server.on("error", (error) => say({ error: error.message }));
server.listen(Number(port), "127.0.0.1", () => say({ ready: true }));
