/** Objects of extensions: they are the extension's business, never copied, dropped or moved. */

/**
 * SQL condition: the object doesn't belong to an extension.
 * @param catalog its catalogue, e.g. `pg_class`; @param oid SQL of its oid, e.g. `c.oid`
 */
export function notOfExtension(catalog: string, oid: string): string {
  return notExtensions({ classid: `'${catalog}'::regclass`, objid: oid });
}

/**
 * SQL condition: an object of any catalogue doesn't belong to an extension.
 * @param address SQL of the object's address as pg_depend writes it, e.g. `d.classid` and `d.objid`
 */
export function notExtensions({ classid, objid }: { classid: string; objid: string }): string {
  return `not exists (select from pg_depend e where e.classid = ${classid} and e.objid = ${objid} and e.deptype = 'e')`;
}
