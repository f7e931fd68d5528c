// Works with a hub through fhir-kit-client; what is asked comes on stdin, what was found goes to stdout, both JSON.
import { readFileSync } from 'node:fs';
import { CapabilityTool, Client } from 'fhir-kit-client';

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

told.vread = (await client.vread({ resourceType: 'Patient', id, version: '1' })).gender;
told.typeHistory = (await client.history({ resourceType: 'Observation' })).entry.length > 0;
told.systemHistory = (await client.history()).type;
const several = { _type: 'Patient,Observation', _id: `${id},nobody` };
told.several = (await client.search({ searchParams: several })).entry.length;
const observation = answer.entry[0].response.location.split('/_history')[0].split('/').slice(-2).join('/');
const result = await client.request(observation);
const person = await client.resolve({ reference: result.subject.reference, context: result });
told.resolved = person.identifier[0].value;
const compartment = { resourceType: 'Patient', id: person.id };
const within = await client.search({ resourceType: 'Observation', compartment, searchParams: { code: '718-7' } });
told.compartment = within.entry.map((one) => `Observation/${one.resource.id}`).join() === observation;
const contained = { resourceType: 'Patient', contained: [{ resourceType: 'Organization', id: 'o', name: 'O' }] };
const holder = { ...contained, managingOrganization: { reference: '#o' } };
const kept = await client.create({ resourceType: 'Patient', body: holder });
told.contained = (await client.resolve({ reference: kept.managingOrganization.reference, context: kept })).name;
const urls = [`Patient/${id}`, `Patient/${id}/_history`, `Patient/${person.id}/$everything`, 'Patient/nobody'];
const entry = urls.map((url) => ({ request: { method: 'GET', url } }));
const batch = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } });
told.batch = batch.entry.map((one) => one.response.status.slice(0, 3));
const input = { resourceType: 'Patient', gender: 'nonsense' };
const judged = await client.operation({ name: 'validate', resourceType: 'Patient', method: 'POST', input });
told.judged = judged.issue[0].severity;
const tool = new CapabilityTool(await client.capabilityStatement());
told.can = [tool.serverCan('transaction'), tool.resourceCan('Patient', 'patch')];
const onlyOnce = { headers: { 'If-None-Exist': `identifier=${asked.system}|1` } };
told.once = (await client.create({ resourceType: 'Patient', body: asked.people[1], options: onlyOnce })).id === made[1].id;
const byNumber = { identifier: `${asked.system}|1` };
const anew = { ...asked.people[1], active: true };
told.byCondition = (await client.update({ resourceType: 'Patient', searchParams: byNumber, body: anew })).meta.versionId;

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
const stale = { headers: { 'If-Match': 'W/"1"' } };
told.stale = await status(() =>
  client.update({ resourceType: 'Patient', id: made[1].id, body: { ...made[1], active: false }, options: stale }),
);
const strict = { headers: { Prefer: 'handling=strict' } };
told.strict = await status(() =>
  client.search({ resourceType: 'Patient', searchParams: { nmae: 'x' }, options: strict }),
);
const bad = { resourceType: 'Patient', gender: 'nonsense' };
told.refused = await status(() => client.create({ resourceType: 'Patient', body: bad }));
console.log(JSON.stringify(told));
