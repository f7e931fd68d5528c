// Works with a hub through fhir-kit-client; what is asked comes on stdin, what was found goes to stdout, both JSON.
import { readFileSync } from 'node:fs';
import { Client } from 'fhir-kit-client';

const asked = JSON.parse(readFileSync(0, 'utf8'));
const client = new Client({ baseUrl: asked.baseUrl });
const told = {};

const { tokenUrl } = await client.smartAuthMetadata();
told.tokenUrl = String(tokenUrl);
const secret = Buffer.from(`${asked.clientId}:${asked.clientSecret}`).toString('base64');
const token = await fetch(tokenUrl, {
  method: 'POST',
  headers: { Authorization: `Basic ${secret}` },
  body: new URLSearchParams({ grant_type: 'client_credentials' }),
});
client.bearerToken = (await token.json()).access_token;

const made = [];
for (const body of asked.people) {
  made.push(await client.create({ resourceType: 'Patient', body }));
}
told.created = new Set(made.map((one) => one.id)).size;
const id = made[0].id;
told.read = (await client.read({ resourceType: 'Patient', id })).birthDate;

const searchParams = { identifier: `${asked.system}|`, _count: '3' };
let bundle = await client.search({ resourceType: 'Patient', searchParams });
const seen = [];
told.pages = [];
while (bundle) {
  told.pages.push(bundle.entry.length);
  seen.push(...bundle.entry.map((one) => one.resource.id));
  bundle = await client.nextPage({ bundle });
}
told.found = new Set(seen).size;

const byPost = { identifier: `${asked.system}|`, gender: 'female' };
const women = await client.search({
  resourceType: 'Patient',
  searchParams: byPost,
  options: { postSearch: true },
});
told.women = women.entry.length;

const updated = await client.update({ resourceType: 'Patient', id, body: { ...made[0], gender: 'other' } });
told.version = updated.meta.versionId;
const jsonPatch = [{ op: 'add', path: '/language', value: 'zh' }];
told.patched = (await client.patch({ resourceType: 'Patient', id, jsonPatch })).language;
told.versions = (await client.history({ resourceType: 'Patient', id })).total;

const answer = await client.transaction({ body: asked.transaction });
told.transaction = answer.entry.map((one) => one.response.status.slice(0, 3));
const chained = { 'subject:Patient.identifier': `${asked.system}|99` };
told.chained = (await client.search({ resourceType: 'Observation', searchParams: chained })).entry.length;
const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id, method: 'GET' });
told.everything = everything.resourceType;

async function status(act) {
  try {
    await act();
    return 200;
  } catch (error) {
    return error.response.status;
  }
}

await client.delete({ resourceType: 'Patient', id });
told.gone = await status(() => client.read({ resourceType: 'Patient', id }));
const bad = { resourceType: 'Patient', gender: 'nonsense' };
told.refused = await status(() => client.create({ resourceType: 'Patient', body: bad }));
console.log(JSON.stringify(told));
