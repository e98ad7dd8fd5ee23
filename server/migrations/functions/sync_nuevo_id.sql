-- A new id, as the specification's tables have them: "c" and 24 letters and digits.
CREATE OR REPLACE FUNCTION sync_nuevo_id() RETURNS text LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT 'c' || string_agg(substr('0123456789abcdefghijklmnopqrstuvwxyz', (get_byte(b, i) % 36) + 1, 1), '')
  FROM (SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex') AS b) r,
       -- Bytes 6 and 8 of a UUID carry its version and variant: passed over.
       unnest(ARRAY[0,1,2,3,4,5,7,9,10,11,12,13,14,15,16,17,18,19,20,21,23,25,26,27]) AS i
$$;
