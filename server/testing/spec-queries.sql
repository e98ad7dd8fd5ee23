SELECT
  tabla,
  direccion,
  estado,
  "registrosAfectados",
  "duracionMs",
  "fechaInicio"
FROM sync_logs
WHERE "tenantId" = 'acme-001'
ORDER BY "createdAt" DESC
LIMIT 50;

-- Errores recientes
SELECT
  tabla,
  fase,
  mensaje,
  "errorDetalle",
  "fechaInicio"
FROM sync_logs
WHERE "tenantId" = 'acme-001'
  AND estado = 'error'
  AND "createdAt" > NOW() - INTERVAL '7 days'
ORDER BY "createdAt" DESC;

-- Estadísticas por tabla
SELECT
  tabla,
  direccion,
  COUNT(*) as total_ejecuciones,
  SUM(CASE WHEN estado = 'exitoso' THEN 1 ELSE 0 END) as exitosas,
  SUM(CASE WHEN estado = 'error' THEN 1 ELSE 0 END) as errores,
  AVG("duracionMs") as duracion_promedio_ms,
  SUM("registrosAfectados") as total_registros
FROM sync_logs
WHERE "tenantId" = 'acme-001'
  AND "createdAt" > NOW() - INTERVAL '30 days'
GROUP BY tabla, direccion
ORDER BY tabla, direccion;

