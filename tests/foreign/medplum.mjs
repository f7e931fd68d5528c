// Works with a hub through MedplumClient; what is asked comes on stdin, what was found goes to stdout, both JSON.
import { readFileSync } from 'node:fs';
import { MedplumClient } from '@medplum/core';

const asked = JSON.parse(readFileSync(0, 'utf8'));
const where = { baseUrl: `${asked.root}/`, fhirUrlPath: 'fhir', tokenUrl: asked.tokenUrl };
const client = new MedplumClient(where);
await client.startClientLogin(asked.clientId, asked.clientSecret);

const told = {};
const query = `identifier=${asked.system}|1`;
const made = await client.createResourceIfNoneExist(asked.person, query);
told.once = (await client.createResourceIfNoneExist(asked.person, query)).id === made.id;
told.upserted = (await client.upsertResource({ ...asked.person, active: true }, query)).meta.versionId;
const change = [
  { op: 'test', path: '/active', value: true },
  { op: 'replace', path: '/active', value: false },
];
told.patched = (await client.patchResource('Patient', made.id, change)).active;
told.versions = (await client.readHistory('Patient', made.id)).entry.length;
told.first = (await client.readVersion('Patient', made.id, '1')).active ?? null;
told.found = (await client.searchOne('Patient', query)).id === made.id;
told.everything = (await client.readPatientEverything(made.id)).entry.length;
told.summary = (await client.readPatientSummary(made.id)).type;
told.judged = (await client.validateResource({ resourceType: 'Patient' })).issue[0].severity;

// What is asked within a moment goes as one batch.
const batching = new MedplumClient({ ...where, autoBatchTime: 50 });
batching.setAccessToken(client.getAccessToken());
const gathered = await Promise.all([
  batching.readResource('Patient', made.id),
  batching.search('Patient', query),
  batching.readHistory('Patient', made.id),
]);
told.gathered = gathered.map((one) => one.type ?? one.resourceType);

await client.deleteResource('Patient', made.id);
told.gone = await client.readResource('Patient', made.id, { cache: 'reload' }).catch((e) => e.outcome.issue[0].code);
console.log(JSON.stringify(told));
