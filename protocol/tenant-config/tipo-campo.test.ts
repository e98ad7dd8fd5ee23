import { describe, expect, test } from 'vitest';
import { deriveTipoCampo } from './tipo-campo.ts';

describe('deriveTipoCampo', () => {
  test.each([
    ['vista_proveedores', 'proveedor'],
    ['vista_productos', 'producto'],
    ['vista_productos_sync', 'producto'],
    ['plan_cuentas', 'cuenta'],
    ['plan_cuentas_erp', 'cuenta'],
    ['proveedores', 'proveedor'],
    ['dbo.Clientes', 'cliente'],
    ['[dbo].[vista_sucursales]', 'sucursal'],
    ['almacenes', 'almacen'],
    ['ciudades', 'ciudad'],
    ['paises', 'pais'],
    ['lotes', 'lote'],
    ['precios', 'precio'],
    ['voces', 'voz'],
    ['stock', 'stock'],
  ])('%s is of tipo_campo %s', (nombre, expected) => {
    expect(deriveTipoCampo(nombre)).toBe(expected);
  });
});
