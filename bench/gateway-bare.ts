// The least that a proxy on Node does: passes requests on over kept-alive connections, understands and records nothing.
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

const target = new URL(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxFreeSockets: 1024, scheduling: 'lifo' });
const server = createServer((incoming, outgoing) => {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => {
    const { method, url: path, headers } = incoming;
    const { hostname, port } = target;
    const sent = request({ hostname, port, path, method, headers, agent }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    sent.on('error', () => outgoing.destroy());
    sent.end(Buffer.concat(chunks));
  });
});
server.listen(0, '127.0.0.1', () => {
  process.send!({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
});
