/** Objects of extensions: they are the extension's business, never copied, dropped or moved. */

/**
 * SQL condition: the object doesn't belong to an extension.
 * @param catalog its catalogue, e.g. `pg_class`; @param oid SQL of its oid, e.g. `c.oid`
 */
export function notOfExtension(catalog: string, oid: string): string {
  return `not exists (select from pg_depend e where e.classid = '${catalog}'::regclass and e.objid = ${oid} and e.deptype = 'e')`;
}
