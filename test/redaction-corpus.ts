// What redaction must find and what it must leave alone: texts as they occur in support, code and forms, in Chinese and English.
// Credentials are put together from parts, so that scanners of repositories do not take them for real ones.
import { NEAR_MISSES, SPELLINGS } from './redaction-spellings.ts';

export interface Positive {
  kind: 'secret' | 'card' | 'email' | 'phone' | 'chinese_id';
  /** `…` stands for the secret. */
  text: string;
  secret: string;
}

const hex = '0f3a9c7be2d41586a0c9e7f1b2d34856';
const b62 = 'Zk3QvT9xLm2WpR7sYd4HfN8cJb6GtA1eUo5iXq0DwEhKyMzB';
const B62 = b62.toUpperCase();
const join = (...parts: string[]) => parts.join('');

const SECRETS = [
  join('sk-', b62),
  join('sk-proj-', b62, '_', b62.slice(0, 20)),
  join('sk-ant-api03-', b62),
  join('sk-or-v1-', hex, hex),
  join('sk_', 'live_', b62.slice(0, 24)),
  join('rk_', 'test_', b62.slice(3, 27)),
  join('AKIA', 'QX7ZLMN2PRTW4YDH'),
  join('ASIA', 'J5GK6BVC3FXE7SUO'),
  join('ghp_', b62.slice(0, 36)),
  join('ghs_', b62.slice(5, 41)),
  join('github_pat_', b62.slice(0, 22), '_', b62.slice(0, 20)),
  join('glpat-', b62.slice(0, 20)),
  join('xoxb-', '2938475610-', b62.slice(0, 24)),
  join('AIza', b62.slice(0, 35)),
  join('hf_', b62.slice(0, 34)),
  join('npm_', b62.slice(0, 36)),
  join('SG.', b62.slice(0, 22), '.', b62.slice(0, 43)),
  join('LTAI', '5t', b62.slice(0, 18)),
  join('AKID', b62.slice(0, 32)),
  join('gsk_', b62),
  join('123456789:AA', b62.slice(0, 33)),
  join('cupel-', b62.slice(0, 43)),
  join('eyJhbGciOiJIUzI1NiJ9', '.eyJzdWIiOiIxMjM0NTY3ODkwIn0.', b62.slice(0, 43)),
  join('whsec_', b62.slice(0, 32)),
  join('pypi-', B62, b62.slice(0, 10)),
];
const SECRET_TEXTS = [
  'OPENAI_API_KEY=… node app.js',
  '我的密钥是 …，请帮我看看为什么报 401',
  'curl -H "x-api-key: …" https://api.host.io/v1',
];

const NAMED: [string, string][] = [
  ['password: …', 'Tr0ub4dor&3x'],
  ['"password": "…"', 'p4ssw0rd-hunter2'],
  ['DB_PASSWORD=…', 'q9X!mmz81pl'],
  ['密码：…', 'abc12345xyz'],
  ['登录口令是…，请勿外传', 'Wo2AiBeijing'],
  ['client_secret=… grant_type=x', 'k8Jd02mmLqPz71'],
  ['export AWS_SECRET_ACCESS_KEY=…', 'wJalrXUtnFEMI7K7MDENGbPxRfiCYzzzKEY1'],
  ['postgres://admin:…@db.host.io:5432/app', 'S3cretPw99'],
  ['redis://default:…@10.0.0.3:6379', 'x7Kp2mQw'],
  ['Authorization: Bearer …', 'a8f5f167f44f4964e6c998dee827110c'],
  ['Authorization: Basic …', 'YWRtaW46c2VjcmV0MTIz'],
  ['"api_key" => "…"', 'live81hQ72mmXp0'],
  ['my passphrase is …', 'correct4horse9battery'],
  ['refresh_token: …', '1//0gXk3mQw91LmPz'],
  ['{\\"secret\\":\\"…\\"}', 'n0tSoS3cr3tAnyMore'],
];

/** Numbers of each issuer that pass Luhn's check; the well-known test numbers of payment processors. */
const CARDS = [
  '4111111111111111',
  '4111 1111 1111 1111',
  '4012-8888-8888-1881',
  '4222222222222',
  '5555555555554444',
  '5555 5555 5555 4444',
  '5105105105105100',
  '2223003122003222',
  '378282246310005',
  '3782 822463 10005',
  '371449635398431',
  '6011111111111117',
  '6011-0009-9013-9424',
  '30569309025904',
  '3530111333300000',
  '3566 0020 2036 0505',
  '6200000000000005',
  '6212 3456 7890 1232',
  '6228480402564890018',
  '6304000000000000',
  '４１１１１１１１１１１１１１１１',
];
const CARD_TEXTS = ['Please refund to card …, expiry 09/27.', '我的银行卡号是…，麻烦退款'];

const EMAILS = [
  'john.smith@gmail.com',
  'Li.Wei@163.com',
  'zhang_san88@qq.com',
  'a@b.co',
  'first+tag@sub.mail-server.org',
  "o'connor@uni-heidelberg.de",
  '12345678@qq.com',
  'sales@cupel-shop.com.cn',
  'x.y-z_1@foxmail.com',
  'MARIA@HOTMAIL.COM',
  'user@xn--fiqs8s.cn',
  'very.long.name.indeed@department.university.ac.uk',
  'info@startup.ai',
  'noreply@service.io',
  'p%q@outlook.com',
];
const EMAIL_TEXTS = ['Reach me at … please', '我的邮箱是…，收不到验证码', '<…>; cc: none', '{"email":"…","ok":true}'];

const PHONES_PLUS = [
  '+86 138 0013 8000',
  '+8613912345678',
  '+1 415-555-2671',
  '+1 (212) 736-5000',
  '+44 20 7946 0958',
  '+44 7911 123456',
  '+49 30 901820',
  '+33 6 12 34 56 78',
  '+81 90-1234-5678',
  '+852 6123 4567',
  '+91 98765 43210',
  '+61 412 345 678',
  '+55 11 96123-4567',
  '+7 912 345-67-89',
  '+65 9123 4567',
  '0044 7911 123456',
];
const PHONES_HERE = [
  '13800138000',
  '139 1234 5678',
  '186-1234-5678',
  '17712345678',
  '19912345678',
  '010-62345678',
  '021-5888 8888',
  '0755-26123456',
  '86-13712345678',
  '(415) 555-2671',
  '212-736-5000',
  '１３８００１３８０００',
  '415.555.2671',
];
const PHONE_TEXTS = ['Call me on … tomorrow.', '请打电话…联系我', '收件人 王芳 …'];

/** GB 11643 numbers with a right check digit, of no living person's making. */
const CHINESE_IDS = [
  '11010519491231002X',
  '440524188001010014',
  '110101199003077854',
  '310101198001010018',
  '510104197305120015',
  '330106198812250029',
  '420106 19750315 0013',
  '320102196607080036',
  '350203200002290010',
  '610102195511110012',
];
const ID_TEXTS = ['身份证号：…', '实名认证用的是 … 这个证件', 'My ID number is …, born there.'];

const with_ = (kind: Positive['kind'], secrets: string[], texts: string[]): Positive[] =>
  secrets.flatMap((secret) => texts.map((text) => ({ kind, text, secret })));

const PRIVATE_KEY = join(
  '-----BEGIN RSA PRIVATE',
  ' KEY-----\n',
  b62,
  '\n',
  b62,
  '\n-----END RSA PRIVATE',
  ' KEY-----',
);

export const POSITIVES: Positive[] = [
  ...SPELLINGS,
  ...with_('secret', SECRETS, SECRET_TEXTS),
  ...NAMED.map(([text, secret]) => ({ kind: 'secret' as const, text, secret })),
  { kind: 'secret', text: 'my key:\n…\nwhy is it refused?', secret: PRIVATE_KEY },
  ...with_('card', CARDS, CARD_TEXTS),
  ...with_('email', EMAILS, EMAIL_TEXTS),
  ...with_('phone', [...PHONES_PLUS, ...PHONES_HERE], PHONE_TEXTS),
  ...with_('chinese_id', CHINESE_IDS, ID_TEXTS),
  { kind: 'chinese_id', text: '老身份证 … 还能用吗', secret: '110105491231002' },
];

/** Each of these stays exactly as it is. */
export const LOOK_ALIKES: string[] = [
  ...NEAR_MISSES,
  // amounts, dates, times, measures
  ...'total 1,234,567.89 USD|价格 12999.00 元|2026-03-14 15:09:26|2024/12/31|20240315|截止 2025年11月11日|at 1712345678 seconds since 1970'.split(
    '|',
  ),
  ...'1712345678901|1712345678901234|3.14159265358979323846|6.02214076e23|0.1234567890123456|-122.419416, 37.774929'.split(
    '|',
  ),
  ...'39.904200 116.407396|重量 1500.50 kg|10:30-18:00|2019-2024|1/2/2024|Q3 2025: 4 500 000|¥1,380,013,800'.split('|'),
  ...'$4111111111111111.00|offset 4096, length 13421772800|1000000000000|ratio 16:9 at 3840x2160|budget 13 800 138 USD'.split(
    '|',
  ),
  ...'temperature 36.6|0-100 km/h in 3.2 s|score 98765/100000|12 345 678 people|population 1411780000'.split('|'),
  // order, tracking, ticket and other numbers that say what they are
  ...'订单号 13800138000|单号：13912345678|运单 19912345678|order number: 13812345678|Order #4155552671|编号=13700001111'.split(
    '|',
  ),
  ...'invoice 212-736-5000|ticket 415-555-2671|case number 13600136000|serial no. 17712345678|QQ号 13800138000'.split(
    '|',
  ),
  ...'tracking number 415-555-2671|工号：18612345678|学号 13912340000|part number 212-736-5000|ref 415.555.2671'.split(
    '|',
  ),
  ...'账号 13512345678|流水号：15012345678|SF1234567890123|YT9876543210987|1Z999AA10123456784|JD0012345678901'.split(
    '|',
  ),
  ...'EA123456789CN|快递单号 SF13800138000|PO-2024-000123|INV20240315001|TICKET-4111111|UID:13800138000'.split('|'),
  // numbers of a card's length that are none: another issuer, a wrong check digit, one digit only
  ...'4111111111111112|4111 1111 1111 1113|5555555555554445|378282246310006|6011111111111118|1234567812345678'.split(
    '|',
  ),
  ...'0000000000000000|4444444444444444|1111 2222 3333 4444|9999888877776666|7000000000000005|1234 5678 9012 3452'.split(
    '|',
  ),
  ...'5500 0000 0000 0005|3530111333300001|6228480402564890019|8888-8888-8888-8888|2100000000000005|4000 0000 0000 0000'.split(
    '|',
  ),
  // numbers of an ID's length that are none: a wrong check digit, province, month or day
  ...'110105194912310021|11010519491331002X|110105194912320022|990105194912310020|身份证号 000000000000000000'.split(
    '|',
  ),
  ...'440524188001010015|110101209003077854|123456789012345678|320102196607080031|110101199002300001|350203200102290010'.split(
    '|',
  ),
  // hotlines, short numbers, parts of numbers
  ...'400-820-8820|4008208820|请拨打 95588 或 12345|call 911|+1 800 555 0199|1-800-555-0199|客服热线 800-810-8888'.split(
    '|',
  ),
  ...'110|12306|10086|10010|ext. 4021|extension 55512|+1|+86|code 8613|分机 8001|dial *67|#31#'.split('|'),
  ...'1380013|138001380001234|12345678901|10012345678|0123456789|555-2671|99999999999|+0 123 456 7890|+999 123 456 789'.split(
    '|',
  ),
  // identifiers, hashes, addresses of the net
  ...'550e8400-e29b-41d4-a716-446655440000|d41d8cd98f00b204e9800998ecf8427e|da39a3ee5e6b4b0d3255bfef95601890afd80709'.split(
    '|',
  ),
  ...'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855|sha256:9f86d081884c7d659a2feaa0c55ad015'.split(
    '|',
  ),
  ...'192.168.1.100|10.0.0.1:8080|2001:0db8:85a3:0000:0000:8a2e:0370:7334|00:1A:2B:3C:4D:5E|127.0.0.1|255.255.255.255'.split(
    '|',
  ),
  ...'chatcmpl-9xYzAbCdEf012345678901234|call_abc123DEF456|msg_01XFDUDYJgAACzvnptvVoYEL|asst_abc123|ex_019abcdef0123456'.split(
    '|',
  ),
  ...'commit 4155552671abcdef0123456789abcdef01234567|v1.2.3-beta.4+build.5678|node@20.11.1|react@18.2.0|1.38.0.13.8000'.split(
    '|',
  ),
  ...'ISBN 978-3-16-148410-0|9787111128069|ISSN 2049-3630|doi:10.1000/182|arXiv:2106.09685|RFC 2606|GB 11643-1999'.split(
    '|',
  ),
  ...'IMEI 490154203237519|VIN 1HGCM82633A004352|EAN 4006381333931|SKU-8837-XL|ASIN B08N5WRWNW|CAS 7732-18-5'.split(
    '|',
  ),
  // things with an @ that are nobody's address
  ...'@openai|@types/node|@hono/node-server@2.1.9|follow @cupel_dev|icon@2x.png|logo@3x.jpg|lib@main.js|a @ b|x@y'.split(
    '|',
  ),
  ...'user@localhost|someone@example.com|test@example.org|root@host.internal|admin@server.local|me@mail.test|@Override'.split(
    '|',
  ),
  ...'@app.route("/")|git@github.com:org/repo.git|npm i vite@6.0.1|price @ 4.50|5 @ $3|docker.io/library/redis@sha256|foo@bar.invalid'.split(
    '|',
  ),
  // code and words around credentials, without one
  ...'password: ********|password=|your password must have 8 characters|api_key = process.env.OPENAI_API_KEY'.split(
    '|',
  ),
  ...'api_key=os.environ["KEY"]|token: string|secret: undefined|"password": null|password = getpass()|密码错误|忘记密码怎么办'.split(
    '|',
  ),
  ...'请修改您的密码|sk-learn|sk-SK|task-force|risk-assessment|desk-top computers|disk-usage-2024-03-15|ask-me-anything'.split(
    '|',
  ),
  ...'https://host.io/path?token=|Bearer token|Bearer of bad news|Basic training|basic auth|the secret is patience'.split(
    '|',
  ),
  ...'https://host.io:8080/a|http://user@host.io/|ssh://git@host.io|the key is under the mat|primary_key: id|foreign_key'.split(
    '|',
  ),
  ...'Authorization: Bearer $TOKEN|Authorization: Bearer <token>|password is required|secret santa|keyboard: QWERTY'.split(
    '|',
  ),
  ...'BEGIN PRIVATE KEY|-----BEGIN CERTIFICATE-----|ghp_short|AKIA|AIzaShort|hf_transfer|xoxb|eyJ|npm_config_cache'.split(
    '|',
  ),
  ...'max_tokens: 4096000000|cache_key: user_profile_page|public_key_algorithm|sort_key=created_at|token_count: 12345678'.split(
    '|',
  ),
  // prose that has it all nearly
  ...'The 1999 report (ISBN 0-306-40615-2) cites 13,800 cases in 138 cities.|他在1998年12月出生于110号院|第13800页第138行'.split(
    '|',
  ),
  ...'Room 4111, floor 11, building 1111|Flight CA1381 departs 08:00|G138次列车 13车 08A|车牌 京A13800|房间号 1380|Win32 0x80070005'.split(
    '|',
  ),
];
