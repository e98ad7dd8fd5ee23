import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Data, NtExecutable, NtExecutableResource, Resource } from 'resedit';

/** IMAGE_DIRECTORY_ENTRY_RESOURCE of the PE format. */
const RESOURCE_DIRECTORY = 2;
/** Spanish (Spain, modern sort) and UTF-16: how the texts of the version are marked. */
const SPANISH = { lang: 0x0c0a, codepage: 1200 };

/**
 * Gives the exe at `path` its icon and what Windows shows under Properties › Details, in place of Bun's. Bun does this
 * itself only when it compiles on Windows.
 * The resources are written where Bun's were, and no other byte moves: the program that Bun put behind them stays as it
 * is. Throws when they do not fit there.
 * @param productVersion any text; the numbers of its beginning are the version that Windows compares
 */
export async function brandWindowsExe(path: string, productVersion: string): Promise<void> {
  const content = await readFile(path);
  const exe = NtExecutable.from(content);
  const section = exe.getSectionByEntry(RESOURCE_DIRECTORY);
  if (section === null) throw new Error(`${path} has no resources`);
  const resources = readResources(section);
  const [version] = Resource.VersionInfo.fromEntries(resources.entries);
  const [icons] = Resource.IconGroupEntry.fromEntries(resources.entries);
  if (version === undefined || icons === undefined) throw new Error(`${path} has no version or no icon to replace`);

  resources.removeResourceEntry(16, 1);
  const number = /^\d+(\.\d+)*/.exec(productVersion)?.[0] ?? '0';
  const named = Resource.VersionInfo.createEmpty();
  named.lang = SPANISH.lang;
  named.setFileVersion(number, SPANISH.lang);
  named.setProductVersion(number, SPANISH.lang);
  named.setStringValues(SPANISH, {
    CompanyName: 'AX Sync',
    FileDescription: 'AX Sync: agente de sincronización',
    FileVersion: number,
    InternalName: 'ax-sync-client',
    LegalCopyright: 'MIT',
    OriginalFilename: 'ax-sync-client.exe',
    ProductName: 'AX Sync',
    ProductVersion: productVersion,
  });
  named.outputToResourceEntries(resources.entries);
  const drawn = Data.IconFile.from(await readFile(join(import.meta.dirname, 'icon.ico'))).icons;
  Resource.IconGroupEntry.replaceIconsForResource(
    resources.entries,
    icons.id,
    icons.lang,
    drawn.map(({ data }) => data),
  );

  const { virtualAddress, pointerToRawData } = section.info;
  const { bin } = resources.generateResourceData(virtualAddress, exe.getFileAlignment(), true);
  content.set(new Uint8Array(bin), pointerToRawData);
  await writeFile(path, content);
}

/** resedit refuses a file with a section behind the resources, since it would have to move it: it is shown none. */
function readResources(section: NonNullable<ReturnType<NtExecutable['getSectionByEntry']>>): NtExecutableResource {
  const alone = { getAllSections: () => [section], getSectionByEntry: () => section };
  return NtExecutableResource.from(alone as unknown as NtExecutable);
}
