/** A session in words for an operator: who it is, since when it works, whether this user may end it. */

/** A session of pg_stat_activity (as `a`) in words; what this user may not see of it is left open. */
export const sessionInWords = `pg_catalog.format('pid %s of %s (%s), %s since %s UTC, which this run %s end', a.pid,
  coalesce(a.usename, a.backend_type, 'nobody'), coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, 'there'),
  coalesce(to_char(coalesce(a.xact_start, a.backend_start) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), 'an unknown time'),
  case when a.usename is not null and (pg_has_role(a.usesysid, 'usage') or pg_has_role('pg_signal_backend', 'usage'))
         and (current_setting('is_superuser') = 'on' or not (select rolsuper from pg_catalog.pg_roles r where r.oid = a.usesysid))
       then 'may' else 'may not' end)`;
