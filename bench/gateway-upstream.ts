// The upstream of the bench as a process of its own: a chat completion of usual size, at once, streamed if asked for.
import { events, json, mockUpstream, USAGE } from '../test/mock-upstream.ts';

const words = 'Your parcel left our warehouse yesterday and will arrive the day after tomorrow at the latest . '
  .repeat(4)
  .split(' ');
const stream = Buffer.from(
  events(
    'chatcmpl-bench',
    words.map((word) => `${word} `),
  ).join(''),
);
const whole = {
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: words.join(' ') }, finish_reason: 'stop' }],
  usage: USAGE,
};

const upstream = await mockUpstream(
  (asked, response) => {
    if (!asked.body.includes('"stream":true')) return json(response, 200, whole);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(stream);
  },
  { keep: false },
);
process.send!({ url: upstream.url });
